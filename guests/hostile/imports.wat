;; Imports what does not exist, and what does by another type.
(module
  (import "as112" "lgo" (func (param i32 i32 i32) (result i32)))
  (import "as112" "log" (func (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "as112_abi") (result i32) (i32.const 1))
  (func (export "as112_area") (result i32) (i32.const 0))
  (func (export "as112_start") (param i32) (result i32) (i32.const 0))
  (func (export "as112_event") (param i32 i32 i32) (result i64) (i64.const 0)))
