;; Replies to another question than was asked.
(module
  (memory (export "memory") 2)
  (func (export "as112_abi") (result i32) (i32.const 1))
  (func (export "as112_area") (result i32) (i32.const 0))
  (func (export "as112_start") (param $config_len i32) (result i32)
    (i32.const 0))
  (func (export "as112_event") (param $kind i32) (param $token i32) (param $len i32) (result i64)
    (local $end i32)
    (if (i32.ne (local.get $kind) (i32.const 1)) (then (return (i64.const 0))))
    ;; The reply begins as the query: header and question.
    (local.set $end (i32.load16_u (i32.const 18)))
    (memory.copy (i32.const 2240) (i32.const 128) (local.get $end))
    ;; QR, and no error; one question and nothing else.
    (i32.store8 (i32.const 2242) (i32.or (i32.load8_u (i32.const 2242)) (i32.const 0x80)))
    (i64.store (i32.const 2244) (i64.const 0x00000000_00000100))
    (i32.store (i32.const 24) (local.get $end))
    (i32.store8 (i32.const 2253) (i32.xor (i32.load8_u (i32.const 2253)) (i32.const 1)))
    (i64.const 1)))
