/* A generator that is faster than servers are. `send` makes a query of every frame that the kernel lends it
 * (BPF_PROG_TEST_RUN with live frames), at a given rate, and returns it to the interface that it seems to come from;
 * `receive`, on that interface, counts the replies. */
#include "kernel.h"

#define FRAMES 1024
#define FRAME_LEN 160

struct frame {
    u64 len;
    u64 words[FRAME_LEN / 8];
};

struct replay {
    u64 interval; /* nanoseconds from one frame to the next */
    u64 due;      /* when the next one is to be sent */
    u64 next;
    u64 sent;
    u64 first; /* when this call of the kernel's began; whoever calls it clears it */
    u64 last;  /* and when it was last here */
    u64 unused[2];
    u64 port; /* of the server, in network order */
    u64 answered;
    u64 unused_too[6];
    struct frame frames[FRAMES];
};

struct {
    MAP_UINT(type, MAP_ARRAY);
    MAP_UINT(map_flags, MAP_MMAPABLE);
    MAP_UINT(max_entries, 1);
    MAP_TYPE(key, u32);
    MAP_TYPE(value, struct replay);
} REPLAY SECTION(".maps");

static u64 (*const ktime_get_ns)(void) = (void *)5;

/* What is late by more than this is not made up for: a burst would be lost. */
#define LATE_MAX 20000

SECTION("xdp") int send(struct xdp_md *ctx)
{
    u32 none = 0;
    struct replay *replay = map_lookup_elem(&REPLAY, &none);
    if (!replay)
        return XDP_ABORTED;
    u64 now = ktime_get_ns(), due = replay->due;
    if (!replay->first)
        replay->first = now;
    replay->last = now;
    if (now < due)
        return XDP_DROP;
    replay->due = (now - due > LATE_MAX ? now : due) + replay->interval;
    u64 index = replay->next++;
    CUT(index, FRAMES - 1);
    struct frame *frame = &replay->frames[index];
    u8 *data = (void *)(long)ctx->data;
    if (data + FRAME_LEN > (u8 *)(long)ctx->data_end)
        return XDP_ABORTED;
    _Pragma("clang loop unroll(full)") for (int i = 0; i < FRAME_LEN / 8; i++)
        ((u64 *)data)[i] = frame->words[i];
    if (xdp_adjust_tail(ctx, (int)frame->len - FRAME_LEN))
        return XDP_ABORTED;
    replay->sent++;
    return XDP_TX;
}

/* Costs what looking at a frame costs: nothing else is on this interface. */
SECTION("xdp") int receive(struct xdp_md *ctx)
{
    u32 none = 0;
    struct replay *replay = map_lookup_elem(&REPLAY, &none);
    u8 *data = (void *)(long)ctx->data;
    /* Ethernet, IPv4 without options, UDP, the message's flags. */
    if (!replay || data + 46 > (u8 *)(long)ctx->data_end || *(u16 *)(data + 12) != BE16(0x0800) || data[23] != 17
        || *(u16 *)(data + 34) != replay->port)
        return XDP_PASS;
    if (data[44] & 0x80)
        replay->answered++;
    return XDP_DROP;
}

/* What the kernel's measuring takes (kernel.bpf_stats_enabled). */
SECTION("xdp") int nothing(struct xdp_md *ctx)
{
    (void)ctx;
    return XDP_PASS;
}

char _license[] SECTION("license") = "MIT OR Apache-2.0";
