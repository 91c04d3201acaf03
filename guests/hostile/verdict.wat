;; Returns what is not a verdict.
(module
  (memory (export "memory") 2)
  (func (export "as112_abi") (result i32) (i32.const 1))
  (func (export "as112_area") (result i32) (i32.const 0))
  (func (export "as112_start") (param $config_len i32) (result i32)
    (i32.const 0))
  (func (export "as112_event") (param $kind i32) (param $token i32) (param $len i32) (result i64)
    (if (i32.ne (local.get $kind) (i32.const 1)) (then (return (i64.const 0))))
    (i64.const -1)))
