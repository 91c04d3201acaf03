;; Answers every query for A with 192.0.2.1, and passes all others.
(module
  (import "as112" "log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 2)

  ;; The area is at 1024: the request there, the query at 1152, the reply at 3264.
  (func (export "as112_abi") (result i32) (i32.const 1))
  (func (export "as112_area") (result i32) (i32.const 1024))

  ;; After the area: a record (owner: the name at 12, A, IN, TTL 60, four bytes), and a line for the log.
  (data (i32.const 80000) "\c0\0c\00\01\00\01\00\00\00\3c\00\04\c0\00\02\01")
  (data (i32.const 80100) "ready")

  (func (export "as112_start") (param $config_len i32) (result i32)
    (drop (call $log (i32.const 2) (i32.const 80100) (i32.const 5)))
    (i32.const 0))

  (func (export "as112_event") (param $kind i32) (param $token i32) (param $len i32) (result i64)
    (local $end i32)
    ;; PASS, unless it is a query (1) for A (`qtype`, at 12).
    (if (i32.or (i32.ne (local.get $kind) (i32.const 1))
                (i32.ne (i32.load16_u (i32.const 1036)) (i32.const 1)))
      (then (return (i64.const 0))))
    ;; The header and the question of the query, as far as `question_end`, at 18.
    (local.set $end (i32.load16_u (i32.const 1042)))
    (memory.copy (i32.const 3264) (i32.const 1152) (local.get $end))
    ;; One question, one answer, nothing else: bytes 4 to 11 of the header.
    (i64.store (i32.const 3268) (i64.const 0x01000100))
    (memory.copy (i32.add (i32.const 3264) (local.get $end)) (i32.const 80000) (i32.const 16))
    ;; `reply_len`, at 24; and REPLY.
    (i32.store (i32.const 1048) (i32.add (local.get $end) (i32.const 16)))
    (i64.const 1)))
