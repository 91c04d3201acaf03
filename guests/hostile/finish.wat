;; Finishes a thousand queries that it does not hold, with SERVFAIL, for each that it passes.
(module
  (import "as112" "finish" (func $finish (param i32 i64) (result i32)))
  (memory (export "memory") 2)
  (func (export "as112_abi") (result i32) (i32.const 1))
  (func (export "as112_area") (result i32) (i32.const 0))
  (func (export "as112_start") (param $config_len i32) (result i32)
    (i32.const 0))
  (func (export "as112_event") (param $kind i32) (param $token i32) (param $len i32) (result i64)
    (local $left i32)
    (if (i32.ne (local.get $kind) (i32.const 1)) (then (return (i64.const 0))))
    (local.set $left (i32.const 999))
    (loop $again
      (drop (call $finish (i32.add (local.get $token) (i32.sub (local.get $left) (i32.const 500))) (i64.const 0x202)))
      (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (i64.const 0)))
