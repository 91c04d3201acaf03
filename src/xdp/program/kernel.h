/* What the program needs of the kernel: its types, its helpers by number, and how a map is declared. The
 * numbers are part of the kernel's binary interface; no header of the system is read. */
#ifndef KERNEL_H
#define KERNEL_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

/* enum xdp_action */
#define XDP_ABORTED 0
#define XDP_DROP 1
#define XDP_PASS 2
#define XDP_TX 3

/* What the kernel lends the program: a frame, by its first byte and the one behind its last. */
struct xdp_md {
    u32 data;
    u32 data_end;
    u32 data_meta;
    u32 ingress_ifindex;
    u32 rx_queue_index;
    u32 egress_ifindex;
};

static void *(*const map_lookup_elem)(void *map, const void *key) = (void *)1;
static u32 (*const get_smp_processor_id)(void) = (void *)8;
static long (*const xdp_adjust_head)(struct xdp_md *ctx, int delta) = (void *)44;
static long (*const xdp_adjust_tail)(struct xdp_md *ctx, int delta) = (void *)65;
/* Ticks of the kernel since its start: since Linux 5.6. */
static u64 (*const jiffies64)(void) = (void *)118;
/* CLOCK_MONOTONIC as of the last tick, in nanoseconds: since Linux 5.11. */
static u64 (*const ktime_get_coarse_ns)(void) = (void *)160;

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static __attribute__((always_inline)) inline

/* The members of a map's declaration, read from its type. */
#define MAP_UINT(name, value) int(*name)[value]
#define MAP_TYPE(name, value) typeof(value) *name
#define MAP_ARRAY 2
#define MAP_MMAPABLE 0x400

/* Both ends of the network are told: the program is made for little-endian machines alone. */
#define BE16(x) ((u16)(((x) & 0xFF) << 8 | ((x) >> 8 & 0xFF)))

/* Keeps the loop a loop. */
#define LOOP _Pragma("clang loop unroll(disable)")

/* Makes the compiler forget how `x` was computed. */
#define OPAQUE(x) asm volatile("" : "+r"(x))

/* Cuts `x` down to the bits of `mask`, where the verifier sees it and the compiler does not reason it away. */
#define CUT(x, mask) asm volatile("%0 &= %1" : "+r"(x) : "i"(mask))

#endif
