;; Registers another condition each time that it is started.
(module
  (import "as112" "random" (func $random (param i32 i32) (result i32)))
  (import "as112" "hook" (func $hook (param i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "as112_abi") (result i32) (i32.const 1))
  (func (export "as112_area") (result i32) (i32.const 0))
  (func (export "as112_start") (param $config_len i32) (result i32)
    ;; `qname-suffix = ` and sixteen letters.
    (local $at i32)
    (drop (call $random (i32.const 72015) (i32.const 16)))
    (local.set $at (i32.const 72031))
    (loop $letters
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at)
        (i32.add (i32.const 97) (i32.and (i32.load8_u (local.get $at)) (i32.const 15))))
      (br_if $letters (i32.gt_u (local.get $at) (i32.const 72015))))
    (call $hook (i32.const 2) (i32.const 72000) (i32.const 31)))
  (data (i32.const 72000) "qname-suffix = ")
  (func (export "as112_event") (param $kind i32) (param $token i32) (param $len i32) (result i64)
    (i64.const 0)))
