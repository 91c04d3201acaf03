/* What the node and the program share: three maps, each an array that both see as memory. `layout.rs` has the
 * same shapes; a test compares them with what the compiler made of these. */
#ifndef RESPONDER_H
#define RESPONDER_H

#include "kernel.h"

#define INTERFACES 8
#define TARGETS 256
#define TARGET_PROBES 8
#define PREFIXES 16
#define SLOTS 16384
#define SLOT_PROBES 8
#define ZONES 4096
#define TAILS 1024
#define DROPS 4096
#define LABELS 8
/* Words of a zone's name in its slot, and elsewhere. */
#define NEAR_WORDS 4
#define FAR_WORDS 12
#define TAIL_LEN_MAX 256
#define TAIL_WORDS 36
#define RELOCATIONS 3
#define TYPES_ROOM 512

/* An interface that is answered on; the last ones are 0. The program runs only where it was attached, but it is
 * not told where: on a bond a frame's interface is the port. So frames are known by their address alone. */
struct interface {
    u64 mac;               /* its bytes in their order, then zeros */
    u64 vlans[4096 / 64]; /* a bit for each VLAN that is answered in; bit 0 is for frames without a tag */
};

/* An address that is answered at; IPv4 is mapped into IPv6, and 0 is nobody's. */
struct target {
    u64 address[2];
    u32 port;     /* in network order */
    u32 listener; /* from LISTENERS on: the address is not on this host now */
};

struct prefix {
    u64 address[2];
    u64 mask[2];
    u32 port;
    u32 listener;
};

struct control {
    u64 is_serving;
    u64 alive_until; /* CLOCK_MONOTONIC in nanoseconds */
    u64 set;         /* which set is in force: 0 or 1 */
    u64 sample;      /* of so many answerable queries one passes; 0 for none */
    u64 prefixes_len;
    u64 own;       /* a bit for the upper six of each target's hash */
    u64 ports_max; /* the highest source port that passes */
    u8 types[TYPES_ROOM];  /* how a qtype below 258 is counted; that of 258 is for all others */
    struct interface interfaces[INTERFACES];
    struct target targets[TARGETS]; /* by hash, at most TARGET_PROBES from their place */
    struct prefix prefixes[PREFIXES];
    u64 ports[65536 / 64]; /* a bit for each that does */
};

/* A compression pointer: where it stands in the tail, and where it points, from the zone's name in the
 * question or from the tail. */
struct relocation {
    u8 at;
    u8 is_from_tail;
    u16 delta;
};

/* An empty zone: all of it but its tail, in one cache line. Its name is read from its end in
 * words of eight bytes, lower case, the root's byte the last of the first word; the last word has zeros below where
 * the name is no multiple of eight. */
struct zone {
    u64 words[NEAR_WORDS];
    u8 len;                /* bytes of the name */
    u8 service;
    u8 series;
    u8 relocations_len;
    u16 tail;     /* its place among the tails */
    u16 tail_len; /* without the OPT */
    u16 sums[3];  /* of all bytes of the tail as 16-bit words: without OPT, with it, with DO */
    u16 far;      /* where the further words of the name are */
    struct relocation relocations[RELOCATIONS];
    u32 unused;
};

/* What stands after the question: records, and the OPT for who sent one. The records have at least 32 bytes, with the
 * OPT at most TAIL_LEN_MAX; after them are zeros. */
struct tail {
    u64 words[TAIL_WORDS];
};

/* The words of a long name after the first NEAR_WORDS. */
struct far {
    u64 words[FAR_WORDS];
};

/* Addresses that get nothing, from the first to the last, each as two numbers; IPv4 is mapped into IPv6. */
struct range {
    u64 first[2];
    u64 last[2];
};

struct set {
    u64 passes_all;     /* the sockets answer everything: a rate limit is in their memory */
    u64 passes_cookies; /* and queries with a cookie */
    u64 passes_subnets; /* and those with a client subnet: answers depend on it */
    u64 ruled;          /* a bit for each listener whose queries rules may concern: the sockets ask them */
    u64 drops_len;
    u64 depths;         /* how many labels zones have, a byte for each number, the greatest in the lowest */
    u64 slots_shift;    /* a hash shifted right so far is a slot in use */
    u64 name_len_max;   /* of the longest zone's name */
    u32 slots[SLOTS];   /* by hash, at most SLOT_PROBES from their place: 16 bits of it, and the zone's place plus one */
    struct zone zones[ZONES];
    struct far far[ZONES];
    struct tail tails[TAILS];
    struct range drops[DROPS]; /* in order */
};

/* Why a frame passes. */
enum reason {
    ANSWERED,
    ELSEWHERE, /* not IP, not UDP, not for an address and port of ours */
    NOT_SERVING,
    NOT_ALIVE,
    FRAGMENT, /* or IP options, extension headers */
    LENGTH,   /* the lengths of IP, UDP and the message disagree, or are too long */
    SOURCE,   /* a martian, or a port that gets nothing */
    HEADER,   /* no query, or more records than a question and OPT */
    NAME,     /* damaged */
    TYPE,     /* class or type */
    EDNS,     /* a version, an option or a record that the node looks at itself */
    OUTSIDE,  /* in no zone of this set */
    APEX,     /* the name of a zone */
    LONG,     /* the reply might not fit */
    ROOM,     /* the driver has none for the reply */
    SAMPLED,
    BUSY, /* another frame is in work on this CPU */
    LIMITED, /* there is a rate limit, which is the sockets' */
    POLICY,  /* rules may concern it */
    DROPPED, /* it does not pass: its network gets nothing */
    REASONS,
};
/* Room for each value of the mask that a reason is cut down to. */
#define REASONS_ROOM 32

#define SERVICES 8
#define SERIES 128
#define LISTENERS 64
#define TYPES 32
#define BINS 64
#define EDNS_KINDS 4
#define COOKIE_KINDS 4

/* What one CPU works with: nobody else writes here. What every frame needs is together. */
struct cpu {
    /* Not 0 while a frame is in work: with PREEMPT_RT a thread of another queue may come in between. */
    u64 busy;
    /* The tick in which the node was last seen to live; 0 after one in which it did not. */
    u64 tick;
    u64 to_sample;
    u64 query_bytes;
    u64 reply_bytes;
    /* Notes of one packet. */
    u32 name_len;
    u32 labels;
    u64 starts; /* of the last eight labels, that of the very last in the lowest byte */
    u32 edns;
    u32 cookie;
    u64 removed; /* the sum of what stands after the question */
    u32 start;   /* of the zone's name in the qname */
    u32 len;     /* of the message */
    u64 tail_len;
    u64 far_bits;
    u64 head_first; /* so many more frames grow at their head without a try after their end */
    u64 reasons[REASONS_ROOM];
    u64 listeners[LISTENERS];
    u64 types[TYPES];
    u64 query_bins[BINS];
    u64 reply_bins[BINS];
    u64 zones[SERIES];
    u64 kinds[SERVICES][2][2][EDNS_KINDS][COOKIE_KINDS]; /* family, RD, EDNS and DO, cookie */
    u64 far_words[FAR_WORDS]; /* of the qname */
    u64 far_cut[FAR_WORDS];   /* of a suffix */
    u64 unused[11];           /* the next one's counters are two cache lines away */
};

#endif
