;; Makes its table as large as it can.
(module
  (memory (export "memory") 2)
  (func (export "as112_abi") (result i32) (i32.const 1))
  (func (export "as112_area") (result i32) (i32.const 0))
  (func (export "as112_start") (param $config_len i32) (result i32)
    (i32.const 0))
  (table $table 1 funcref)
  (func (export "as112_event") (param $kind i32) (param $token i32) (param $len i32) (result i64)
    (loop $more (br_if $more (i32.ne (table.grow $table (ref.null func) (i32.const 1000)) (i32.const -1))))
    (i64.const 0)))
