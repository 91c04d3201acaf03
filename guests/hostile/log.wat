;; Writes 900 lines to the log for each query.
(module
  (import "as112" "log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "as112_abi") (result i32) (i32.const 1))
  (func (export "as112_area") (result i32) (i32.const 0))
  (func (export "as112_start") (param $config_len i32) (result i32)
    (i32.const 0))
  (data (i32.const 72000) "This is a line that nobody wants to read.")
  (func (export "as112_event") (param $kind i32) (param $token i32) (param $len i32) (result i64)
    (local $left i32)
    (if (i32.ne (local.get $kind) (i32.const 1)) (then (return (i64.const 0))))
    (local.set $left (i32.const 900))
    (loop $again
      (drop (call $log (i32.const 2) (i32.const 72000) (i32.const 41)))
      (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (i64.const 0)))
