/* Answers queries for names in empty zones before the kernel has made a packet of the frame. A frame is sent
 * back with the whole answer, or passes untouched to the sockets; there is no third thing.
 *
 * All is looked at first, and nothing written before it is sure that there will be an answer. What the answer
 * is, the node has decided: the tails are those that its sockets answer with.
 *
 * What verifiers want, of which older ones know less; tests/kernels tries those of Linux 6.1 and 6.12:
 * - What indexes memory is bounded by the last CUT alone, never by a branch after it: where the compiler keeps a
 *   copy of the value on the stack, Linux 6.1 does not bound the copy. So a table has room for every value of
 *   the mask (HASHES_ROOM, REASONS_ROOM).
 * - CUT is inline assembly, as the compiler removes a mask that it can prove to be superfluous.
 * - A place in the frame is a number; at() makes a pointer of it, checked against the end of the frame, for as
 *   many bytes as are read.
 * - After xdp_adjust_head and xdp_adjust_tail no pointer into the frame is valid: call at() again.
 * - Loops have constant bounds, are not unrolled (LOOP), and keep few values from one round to the next: each
 *   round whose values differ is verified by itself. The notes of a packet are in `struct cpu` for that.
 * - What is written to `struct cpu` and read again is any number to the verifier: CUT it before use.
 * - -mcpu=v3: without 32-bit jumps clang 14 shifts values back and forth, and bounds are lost. */
#include "responder.h"

#define ETHERNET_LEN 14
#define VLAN_LEN 4
#define IPV4_LEN 20
#define IPV6_LEN 40
#define UDP_LEN 8
#define HEADER_LEN 12
#define OPT_LEN 11
/* Bytes that are copied at once. */
#define BLOCK 32
/* The longest message that is looked at, and the longest reply: what needs no EDNS. */
#define MESSAGE_LEN_MAX 512
/* Options of one OPT. */
#define OPTIONS_MAX 16
/* More than any place in a frame that is looked at; a mask. */
#define PLACES 1023
#define TTL 64

#define OPTION_NSID 3
#define OPTION_COOKIE 10
#define TYPE_OPT 41
#define TYPE_IXFR 251
#define TYPE_AXFR 252
#define TYPES_KNOWN 258
#define CLASS_IN 1

struct {
    MAP_UINT(type, MAP_ARRAY);
    MAP_UINT(map_flags, MAP_MMAPABLE);
    MAP_UINT(max_entries, 1);
    MAP_TYPE(key, u32);
    MAP_TYPE(value, struct control);
} CONTROL SECTION(".maps");

struct {
    MAP_UINT(type, MAP_ARRAY);
    MAP_UINT(map_flags, MAP_MMAPABLE);
    MAP_UINT(max_entries, 2);
    MAP_TYPE(key, u32);
    MAP_TYPE(value, struct set);
} SETS SECTION(".maps");

/* One for each CPU: the loader says how many. */
struct {
    MAP_UINT(type, MAP_ARRAY);
    MAP_UINT(map_flags, MAP_MMAPABLE);
    MAP_UINT(max_entries, 1);
    MAP_TYPE(key, u32);
    MAP_TYPE(value, struct cpu);
} CPUS SECTION(".maps");

/* Room is sought before the frame alone: a test goes that way with every packet. */
const volatile u32 HEAD_ONLY = 0;

/* The `len` bytes at `place` of the frame, or nothing. */
INLINE void *at(struct xdp_md *ctx, u64 place, u32 len)
{
    void *data = (void *)(long)ctx->data;
    void *end = (void *)(long)ctx->data_end;
    CUT(place, PLACES);
    void *found = data + place;
    return found + len > end ? 0 : found;
}

/* Ones' complement sums (RFC 1071) in the machine's order of bytes. */
INLINE u64 fold(u64 sum)
{
    sum = (sum & 0xFFFFFFFF) + (sum >> 32);
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum = (sum & 0xFFFF) + (sum >> 16);
    return (sum & 0xFFFF) + (sum >> 16);
}

INLINE u64 halves(u64 word)
{
    return (word & 0xFFFFFFFF) + (word >> 32);
}

INLINE u64 mix(u64 hash)
{
    hash *= 0xFF51AFD7ED558CCDULL;
    return hash ^ hash >> 32;
}

#define EACH(byte) (0x0101010101010101ULL * (byte))

/* Letters A to Z become a to z, in eight bytes at once, and no other byte changes. */
INLINE u64 lower(u64 word)
{
    u64 low = word & EACH(0x7F);
    u64 is_from_a = low + EACH(0x80 - 'A');
    u64 is_past_z = low + EACH(0x7F - 'Z');
    u64 is_upper = (is_from_a ^ is_past_z) & ~word & EACH(0x80);
    return word | is_upper >> 2;
}

/*------------ Where it came from and where it goes ---*/

INLINE u32 link_layer(struct xdp_md *ctx, struct control *control, struct cpu *cpu)
{
    u8 *frame = at(ctx, 0, ETHERNET_LEN);
    if (!frame)
        return ELSEWHERE;
    u64 mac = *(u32 *)frame | (u64) * (u16 *)(frame + 4) << 32;
    u16 type = *(u16 *)(frame + 12);
    u32 place = ETHERNET_LEN;
    u64 vlan = 0;
    if (type == BE16(0x8100)) {
        u16 *tag = at(ctx, place, VLAN_LEN);
        if (!tag)
            return ELSEWHERE;
        vlan = BE16(tag[0]) & 0x0FFF;
        /* A priority without a VLAN: the kernel takes it, and replies without a tag. */
        if (!vlan)
            return ELSEWHERE;
        type = tag[1];
        place += VLAN_LEN;
    }
    if (type != BE16(0x0800) && type != BE16(0x86DD))
        return ELSEWHERE;
    cpu->is_ipv6 = type == BE16(0x86DD);
    cpu->network = place;
    u64 word = vlan >> 6;
    LOOP for (int i = 0; i < INTERFACES; i++) {
        struct interface *one = &control->interfaces[i];
        CUT(word, 4096 / 64 - 1);
        if (one->mac == mac && one->vlans[word] >> (vlan & 63) & 1)
            return ANSWERED;
    }
    return ELSEWHERE;
}

/* What the network layer says, and the hashes of both. */
struct addresses {
    u64 source[2];
    u64 destination[2];
    u64 source_hash;
    u64 destination_hash;
};

#define MAPPED 0xFFFF0000ULL

INLINE u32 ipv4(struct xdp_md *ctx, struct cpu *cpu, struct addresses *found)
{
    u64 place = cpu->network;
    u8 *ip = at(ctx, place, IPV4_LEN);
    if (!ip || ip[9] != 17)
        return ELSEWHERE;
    if (ip[0] != 0x45 || (*(u16 *)(ip + 6) & ~BE16(0x4000)))
        return FRAGMENT;
    found->source[0] = found->destination[0] = 0;
    found->source[1] = MAPPED | (u64) * (u32 *)(ip + 12) << 32;
    found->destination[1] = MAPPED | (u64) * (u32 *)(ip + 16) << 32;
    found->source_hash = mix(found->source[1]);
    found->destination_hash = mix(found->destination[1]);
    cpu->udp = place + IPV4_LEN;
    cpu->end = place + BE16(*(u16 *)(ip + 2));
    return ANSWERED;
}

INLINE u32 ipv6(struct xdp_md *ctx, struct cpu *cpu, struct addresses *found)
{
    u64 place = cpu->network;
    u8 *ip = at(ctx, place, IPV6_LEN);
    if (!ip || ip[0] >> 4 != 6)
        return ELSEWHERE;
    if (ip[6] != 17)
        /* TCP and ICMP are no matter; behind other headers there may be anything. */
        return ip[6] == 6 || ip[6] == 58 ? ELSEWHERE : FRAGMENT;
    found->source[0] = *(u64 *)(ip + 8);
    found->source[1] = *(u64 *)(ip + 16);
    found->destination[0] = *(u64 *)(ip + 24);
    found->destination[1] = *(u64 *)(ip + 32);
    found->source_hash = mix(mix(found->source[0]) ^ found->source[1]);
    found->destination_hash = mix(mix(found->destination[0]) ^ found->destination[1]);
    if (!found->destination[0])
        /* An IPv4 address in the form of IPv6, which is none of a socket's; nor is anything else here to be
           answered for. */
        return ELSEWHERE;
    cpu->udp = place + IPV6_LEN;
    cpu->end = place + IPV6_LEN + BE16(*(u16 *)(ip + 4));
    return ANSWERED;
}

/* The target with this address and port, or with any port where that is 0. */
INLINE struct target *find_target(struct control *control, const u64 address[2], u64 hash, u32 port)
{
    u64 place = hash >> 20;
    LOOP for (int probe = 0; probe < TARGET_PROBES; probe++) {
        CUT(place, TARGETS - 1);
        struct target *target = &control->targets[place];
        if (!target->port)
            return 0;
        if (target->address[0] == address[0] && target->address[1] == address[1]
            && (!port || target->port == port))
            return target;
        place++;
    }
    return 0;
}

INLINE struct prefix *find_prefix(struct control *control, const u64 address[2], u32 port)
{
    LOOP for (u32 i = 0; i < PREFIXES; i++) {
        struct prefix *prefix = &control->prefixes[i];
        if (i >= control->prefixes_len)
            return 0;
        if ((address[0] & prefix->mask[0]) == prefix->address[0]
            && (address[1] & prefix->mask[1]) == prefix->address[1] && (!port || prefix->port == port))
            return prefix;
    }
    return 0;
}

/* Whether the kernel would not take a packet from this address, or it says who we are. */
INLINE int is_martian(struct control *control, struct cpu *cpu, const struct addresses *addresses)
{
    const u64 *source = addresses->source;
    u8 first = cpu->is_ipv6 ? source[0] & 0xFF : source[1] >> 32 & 0xFF;
    if (cpu->is_ipv6) {
        /* Multicast; link-local; ::/64 with ::, ::1 and mapped IPv4. */
        if (first == 0xFF || (source[0] & 0xC0FF) == 0x80FE || !source[0])
            return 1;
    } else if (first == 0 || first == 127 || first >= 224) {
        return 1;
    }
    if (source[0] == addresses->destination[0] && source[1] == addresses->destination[1])
        return 1;
    if (control->own >> (addresses->source_hash >> 58) & 1 && find_target(control, source, addresses->source_hash, 0))
        return 1;
    return find_prefix(control, source, 0) != 0;
}

INLINE u32 network_layers(struct xdp_md *ctx, struct control *control, struct cpu *cpu)
{
    struct addresses addresses;
    u32 reason = cpu->is_ipv6 ? ipv6(ctx, cpu, &addresses) : ipv4(ctx, cpu, &addresses);
    if (reason)
        return reason;
    u64 place = cpu->udp;
    u16 *udp = at(ctx, place, UDP_LEN + HEADER_LEN);
    if (!udp)
        return ELSEWHERE;
    /* Port 0 is none; below it is any. */
    if (!udp[1])
        return ELSEWHERE;
    struct target *target = find_target(control, addresses.destination, addresses.destination_hash, udp[1]);
    if (target) {
        if (target->listener >= LISTENERS)
            return ELSEWHERE;
        cpu->listener = target->listener;
    } else {
        struct prefix *prefix = find_prefix(control, addresses.destination, udp[1]);
        if (!prefix)
            return ELSEWHERE;
        cpu->listener = prefix->listener;
    }
    if (!control->is_serving)
        return NOT_SERVING;
    if (ktime_get_coarse_ns() > control->alive_until)
        return NOT_ALIVE;
    u32 end = cpu->end;
    if (place + BE16(udp[2]) != end || end > ctx->data_end - ctx->data)
        return LENGTH;
    if (end < place + UDP_LEN + HEADER_LEN + 5 || end > place + UDP_LEN + MESSAGE_LEN_MAX)
        return LENGTH;
    /* IPv6 has no packet without a checksum (RFC 8200, section 8.1). */
    if (cpu->is_ipv6 && !udp[3])
        return LENGTH;
    u64 port = BE16(udp[0]);
    if (port <= control->ports_max) {
        u64 word = port >> 6;
        CUT(word, 1023);
        if (control->ports[word] >> (port & 63) & 1)
            return SOURCE;
    }
    return is_martian(control, cpu, &addresses) ? SOURCE : ANSWERED;
}

/* Whether the source is in a network that gets nothing. */
INLINE int is_dropped(struct xdp_md *ctx, struct set *set, struct cpu *cpu)
{
    u64 high = 0, low = 0, place = cpu->network;
    if (cpu->is_ipv6) {
        u64 *source = at(ctx, place + 8, 16);
        if (source) {
            high = __builtin_bswap64(source[0]);
            low = __builtin_bswap64(source[1]);
        }
    } else {
        u32 *source = at(ctx, place + 12, 4);
        if (source)
            low = 0xFFFF00000000ULL | __builtin_bswap32(*source);
    }
    u64 begin = 0, end = set->drops_len;
    LOOP for (int i = 0; i < 13; i++) {
        if (begin >= end)
            return 0;
        u64 middle = (begin + end) / 2;
        CUT(middle, DROPS - 1);
        struct range *range = &set->drops[middle];
        if (high < range->first[0] || (high == range->first[0] && low < range->first[1]))
            end = middle;
        else if (high > range->last[0] || (high == range->last[0] && low > range->last[1]))
            begin = middle + 1;
        else
            return 1;
    }
    return 0;
}

/*------------ What is asked ---*/

INLINE u32 header(struct xdp_md *ctx, struct cpu *cpu)
{
    u64 place = cpu->udp + UDP_LEN;
    u16 *words = at(ctx, place, HEADER_LEN);
    if (!words)
        return LENGTH;
    /* QR and the opcode. */
    if ((words[1] & 0xF8) || words[2] != BE16(1) || words[3] || words[4])
        return HEADER;
    if (words[5] && words[5] != BE16(1))
        return HEADER;
    cpu->edns = words[5] != 0;
    return ANSWERED;
}

/* Notes where the last labels begin. */
INLINE u32 name(struct xdp_md *ctx, struct cpu *cpu)
{
    u64 start = cpu->udp + UDP_LEN + HEADER_LEN;
    u8 *end = (void *)(long)ctx->data_end, *byte = at(ctx, start, 1);
    u64 len = 0, starts = 0;
    if (!byte)
        return NAME;
    LOOP for (u32 labels = 0; labels < 128; labels++) {
        if (byte + 1 > end)
            return NAME;
        u64 label = *byte;
        if (!label) {
            cpu->name_len = len + 1;
            cpu->labels = labels;
            cpu->starts = starts;
            return len + 1 > 255 || start + len + 1 + 4 > cpu->end ? NAME : ANSWERED;
        }
        if (label > 63)
            return NAME;
        /* What is above a byte is of a name that is too long. */
        starts = starts << 8 | len;
        label++;
        byte += label;
        len += label;
    }
    return NAME;
}

/* The options of an OPT fill its rdata, and none of them is one that the node answers. */
INLINE u32 options(struct xdp_md *ctx, struct set *set, struct cpu *cpu, u64 place)
{
    LOOP for (int i = 0; i <= OPTIONS_MAX; i++) {
        if (place == cpu->end)
            return ANSWERED;
        u16 *option = at(ctx, place, 4);
        if (!option || place + 4 > cpu->end)
            return EDNS;
        u32 len = BE16(option[1]);
        if (option[0] == BE16(OPTION_NSID))
            return EDNS;
        if (option[0] == BE16(OPTION_COOKIE) && set->passes_cookies)
            return EDNS;
        if (option[0] == BE16(OPTION_COOKIE) && !cpu->cookie)
            /* As the first is counted: the client's alone, with a server's, neither. */
            cpu->cookie = len == 8 ? 1 : len >= 16 && len <= 40 ? 2 : 3;
        place += 4 + len;
        if (place > cpu->end)
            return EDNS;
    }
    return EDNS;
}

INLINE u32 question_and_edns(struct xdp_md *ctx, struct set *set, struct cpu *cpu)
{
    u64 place = cpu->udp + UDP_LEN + HEADER_LEN + cpu->name_len;
    u16 *question = at(ctx, place, 4);
    if (!question)
        return NAME;
    u32 type = BE16(question[0]);
    if (question[1] != BE16(CLASS_IN) || type == TYPE_IXFR || type == TYPE_AXFR)
        return TYPE;
    cpu->qtype = type;
    cpu->cookie = 0;
    place += 4;
    if (!cpu->edns)
        return place == cpu->end ? ANSWERED : LENGTH;
    u8 *opt = at(ctx, place, OPT_LEN);
    if (!opt || place + OPT_LEN > cpu->end)
        return EDNS;
    /* The root's name, OPT, and version 0. */
    if (opt[0] || *(u16 *)(opt + 1) != BE16(TYPE_OPT) || opt[6])
        return EDNS;
    cpu->edns = opt[7] & 0x80 ? 2 : 1;
    place += OPT_LEN;
    if (place + BE16(*(u16 *)(opt + 9)) != cpu->end)
        return EDNS;
    return options(ctx, set, cpu, place);
}

/*------------ Which zone it is in ---*/

/* Notes the name's words, from its end, as far as zones have some, and a hash behind each. */
INLINE int read_words(struct xdp_md *ctx, struct set *set, struct cpu *cpu)
{
    u32 len = cpu->name_len;
    if (len > set->name_len_max)
        len = set->name_len_max;
    u64 end = cpu->udp + UDP_LEN + HEADER_LEN + cpu->name_len;
    u64 hash = 0;
    LOOP for (u32 i = 0; i < NAME_WORDS; i++) {
        cpu->hashes[i] = hash;
        if (8 * i >= len)
            return 1;
        /* Before the name there are headers, so that a word may begin there. */
        u64 *word = at(ctx, end - 8 * i - 8, 8);
        if (!word)
            return 0;
        u64 lowered = lower(*word);
        cpu->words[i] = lowered;
        hash = mix(hash ^ lowered);
    }
    cpu->hashes[NAME_WORDS] = hash;
    return 1;
}

/* Whether a name of `full` whole words and the rest `last` is that of the zone. */
INLINE int is_zone(struct cpu *cpu, struct zone *zone, u32 full, u64 last)
{
    LOOP for (u32 i = 0; i < NAME_WORDS; i++) {
        if (i >= full)
            break;
        if (zone->words[i] != cpu->words[i])
            return 0;
    }
    u64 index = full;
    CUT(index, NAME_WORDS - 1);
    return !last || zone->words[index] == last;
}

/* The zone whose name has the last `len` bytes of the qname. */
INLINE struct zone *find_zone(struct set *set, struct cpu *cpu, u32 len)
{
    u64 full = len / 8;
    CUT(full, 31);
    if (full > NAME_WORDS || (full == NAME_WORDS && len % 8))
        return 0;
    u64 last = 0;
    if (len % 8) {
        u64 at_last = full;
        CUT(at_last, NAME_WORDS - 1);
        last = cpu->words[at_last] >> (64 - len % 8 * 8);
    }
    u64 hash = mix(cpu->hashes[full] ^ last ^ (u64)len << 56);
    u64 place = hash;
    LOOP for (int probe = 0; probe < SLOT_PROBES; probe++) {
        place &= set->slots_mask;
        CUT(place, SLOTS - 1);
        u32 slot = set->slots[place];
        if (!slot)
            return 0;
        if (slot >> 16 == hash >> 48) {
            u64 index = (slot & 0xFFFF) - 1;
            CUT(index, ZONES - 1);
            struct zone *zone = &set->zones[index];
            if (zone->len == len && is_zone(cpu, zone, full, last))
                return zone;
        }
        place++;
    }
    return 0;
}

/* Where the suffix of `labels` labels begins in the name. */
INLINE u32 suffix_start(struct cpu *cpu, u64 labels)
{
    return cpu->starts >> (8 * labels - 8 & 63) & 0xFF;
}

struct match {
    struct zone *zone;
    u32 start; /* of the zone's name in the qname */
};

INLINE u32 look_up(struct xdp_md *ctx, struct set *set, struct cpu *cpu, struct match *match)
{
    u64 depths = set->depths;
    u32 labels = cpu->labels;
    if (!read_words(ctx, set, cpu))
        return OUTSIDE;
    LOOP for (int i = 0; i < LABELS && depths; i++, depths >>= 8) {
        u64 depth = depths & 0xFF;
        if (depth > labels)
            continue;
        u32 start = suffix_start(cpu, depth);
        struct zone *zone = find_zone(set, cpu, cpu->name_len - start);
        if (zone) {
            match->zone = zone;
            match->start = start;
            return depth == labels ? APEX : ANSWERED;
        }
    }
    return OUTSIDE;
}

/*------------ The reply ---*/

/* The sum of the bytes from `start` to `end`, whose first is the first half of a word. */
INLINE u64 sum_of(struct xdp_md *ctx, u64 start, u64 end)
{
    u64 sum = 0;
    LOOP for (u32 i = 0; i < MESSAGE_LEN_MAX / 8; i++) {
        if (start + 8 > end)
            break;
        u64 *word = at(ctx, start, 8);
        if (!word)
            break;
        sum += halves(*word);
        start += 8;
    }
    u64 left = end - start;
    if (left) {
        u64 *word = at(ctx, end - 8, 8);
        if (word)
            sum += halves(*word >> (64 - left * 8 & 63));
    }
    return sum;
}

/* Makes the frame `grow` bytes longer: behind its end, or before its beginning, and then its first `len`
 * bytes are moved there. With 0 it is as it was. */
INLINE int make_room(struct xdp_md *ctx, int grow, u32 len)
{
    if (grow <= 0 || !HEAD_ONLY) {
        if (!xdp_adjust_tail(ctx, grow))
            return 1;
        if (grow <= 0)
            return 0;
    }
    if (grow <= 0 || xdp_adjust_head(ctx, -grow))
        return 0;
    u64 *end = (void *)(long)ctx->data_end, *to = (void *)(long)ctx->data, *from = at(ctx, grow, BLOCK);
    u64 *last = at(ctx, len - BLOCK + grow, BLOCK);
    if (!from || !last)
        return -1;
    /* The last block overlaps the one before: it is read before that is written. */
    u64 a = last[0], b = last[1], c = last[2], d = last[3];
    LOOP for (u32 done = BLOCK; done < PLACES; done += BLOCK) {
        if (done > len || from + BLOCK / 8 > end || to + BLOCK / 8 > end)
            break;
        u64 e = from[0], f = from[1], g = from[2], h = from[3];
        to[0] = e, to[1] = f, to[2] = g, to[3] = h;
        from += BLOCK / 8, to += BLOCK / 8;
    }
    last = at(ctx, len - BLOCK, BLOCK);
    if (!last)
        return -1;
    last[0] = a, last[1] = b, last[2] = c, last[3] = d;
    return 1;
}

INLINE u16 checksum(u64 sum)
{
    return ~fold(sum);
}

/* What a checksum sums up. */
INLINE u64 summed(u16 checksum)
{
    return (u16)~checksum;
}

INLINE int write_ethernet(struct xdp_md *ctx)
{
    u32 *frame = at(ctx, 0, ETHERNET_LEN);
    if (!frame)
        return 0;
    u32 a = frame[0], b = frame[1], c = frame[2];
    frame[0] = b >> 16 | c << 16;
    frame[1] = c >> 16 | a << 16;
    frame[2] = a >> 16 | b << 16;
    return 1;
}

INLINE int write_ip(struct xdp_md *ctx, struct cpu *cpu, u32 udp_len)
{
    u64 place = cpu->network;
    if (cpu->is_ipv6) {
        u64 *ip = at(ctx, place, IPV6_LEN);
        if (!ip)
            return 0;
        u64 source[2] = {ip[1], ip[2]};
        ip[0] = 0x60 | (u64)BE16(udp_len) << 32 | 17ULL << 48 | (u64)TTL << 56;
        ip[1] = ip[3];
        ip[2] = ip[4];
        ip[3] = source[0];
        ip[4] = source[1];
        return 1;
    }
    u32 *ip = at(ctx, place, IPV4_LEN);
    if (!ip)
        return 0;
    u64 sum = summed(ip[2] >> 16) + ~ip[0] + (u64)~ip[1] + (u16)~ip[2];
    ip[0] = 0x45 | (u32)BE16(udp_len + IPV4_LEN) << 16;
    ip[1] = (u32)BE16(0x4000) << 16; /* don't fragment */
    sum += (u64)ip[0] + ip[1] + (TTL | 17 << 8);
    ip[2] = TTL | 17 << 8 | (u32)checksum(sum) << 16;
    u32 source = ip[3];
    ip[3] = ip[4];
    ip[4] = source;
    return 1;
}

/* Copies the tail behind the question, which ends at `place`. */
INLINE int write_tail(struct xdp_md *ctx, struct tail *tail, u64 place, u64 len)
{
    u64 *end = (void *)(long)ctx->data_end, *to = at(ctx, place, 8);
    if (!to)
        return 0;
    u64 *from = tail->words;
    LOOP for (u32 done = 0; done + BLOCK < TAIL_LEN_MAX; done += BLOCK) {
        if (done + BLOCK > len || to + BLOCK / 8 > end)
            break;
        to[0] = from[0], to[1] = from[1], to[2] = from[2], to[3] = from[3];
        to += BLOCK / 8, from += BLOCK / 8;
    }
    /* The last block may overlap the one before. */
    u64 last = len - BLOCK;
    to = at(ctx, place + last, BLOCK);
    CUT(last, 255);
    if (!to)
        return 0;
    from = (void *)((u8 *)tail->words + last);
    to[0] = from[0], to[1] = from[1], to[2] = from[2], to[3] = from[3];
    return 1;
}

/* Writes the compression pointers, and adds them to the tail's sum. `question_end` counts from the message. */
INLINE int write_pointers(struct xdp_md *ctx, struct tail *tail, u64 place, u32 zone_at, u32 question_end, u64 *sum)
{
    LOOP for (u32 i = 0; i < RELOCATIONS; i++) {
        if (i >= tail->relocations_len)
            break;
        struct relocation *relocation = &tail->relocations[i];
        u32 base = relocation->is_from_tail ? question_end : zone_at;
        u16 *pointer = at(ctx, place + relocation->at, 2);
        if (!pointer)
            return 0;
        u16 value = BE16(0xC000 | (base + relocation->delta));
        *pointer = value;
        *sum += relocation->at & 1 ? BE16(value) : value;
    }
    return 1;
}

INLINE int write_message(struct xdp_md *ctx, struct cpu *cpu, struct tail *tail, u32 zone_start, u64 removed)
{
    u64 udp_at = cpu->udp;
    u32 question_end = HEADER_LEN + cpu->name_len + 4;
    u64 tail_at = udp_at + UDP_LEN + question_end;
    u64 kind = cpu->edns;
    CUT(kind, 3);
    u32 tail_len = tail->len + (kind ? tail->edns_len : 0);
    u64 added = tail->sums[kind];
    if (!write_tail(ctx, tail, tail_at, tail_len)
        || !write_pointers(ctx, tail, tail_at, HEADER_LEN + zone_start, question_end, &added))
        return 0;
    if (kind == 2) {
        u8 *dnssec_ok = at(ctx, tail_at + tail->len + 7, 1);
        if (!dnssec_ok)
            return 0;
        *dnssec_ok = 0x80;
    }
    u16 *udp = at(ctx, udp_at, UDP_LEN + HEADER_LEN);
    if (!udp)
        return 0;
    u64 change = fold(added + 0xFFFF - fold(removed));
    if (question_end & 1)
        change = BE16(change);
    u16 *message = udp + UDP_LEN / 2;
    u16 len = BE16(UDP_LEN + question_end + tail_len);
    /* QR and AA, RD as it was; NXDOMAIN. */
    u16 flags = (message[1] & 0x01) | 0x84 | 0x03 << 8;
    u64 sum = summed(udp[3]) + change + (u16)~message[1] + flags + BE16(1);
    /* The length is summed twice: it is in the pseudo-header as well. */
    sum += 2 * ((u64)(u16)~udp[2] + len);
    u16 port = udp[0];
    udp[0] = udp[1];
    udp[1] = port;
    udp[2] = len;
    if (udp[3]) {
        u16 value = checksum(sum);
        udp[3] = value ? value : 0xFFFF;
    }
    message[1] = flags;
    message[4] = BE16(1);
    return 1;
}

/*------------ Counting ---*/

INLINE void count(struct control *control, struct cpu *cpu, struct zone *zone, u32 recursion_desired, u32 query_len, u32 reply_len)
{
    u64 service = zone->service, edns = cpu->edns, cookie = cpu->cookie, family = cpu->is_ipv6;
    u64 kind = (((service * 2 + family) * 2 + recursion_desired) * EDNS_KINDS + edns) * COOKIE_KINDS + cookie;
    CUT(kind, SERVICES * 2 * 2 * EDNS_KINDS * COOKIE_KINDS - 1);
    (&cpu->kinds[0][0][0][0][0])[kind]++;
    u64 series = zone->series;
    CUT(series, SERIES - 1);
    cpu->zones[series]++;
    u64 listener = cpu->listener;
    CUT(listener, LISTENERS - 1);
    cpu->listeners[listener]++;
    u64 type = cpu->qtype;
    if (type > TYPES_KNOWN)
        type = TYPES_KNOWN;
    u64 counted = control->types[type];
    CUT(counted, TYPES - 1);
    cpu->types[counted]++;
    cpu->query_bytes += query_len;
    cpu->reply_bytes += reply_len;
    u64 bin = query_len / 16;
    CUT(bin, BINS - 1);
    cpu->query_bins[bin]++;
    bin = reply_len / 16;
    CUT(bin, BINS - 1);
    cpu->reply_bins[bin]++;
}

INLINE u32 respond(struct xdp_md *ctx, struct control *control, struct cpu *cpu)
{
    u32 reason;
    if ((reason = link_layer(ctx, control, cpu)) || (reason = network_layers(ctx, control, cpu)))
        return reason;
    u32 index = control->set & 1;
    struct set *set = map_lookup_elem(&SETS, &index);
    if (!set)
        return OUTSIDE;
    if (set->drops_len && is_dropped(ctx, set, cpu))
        return DROPPED;
    if (set->passes_all)
        return LIMITED;
    if (set->ruled >> (cpu->listener & (LISTENERS - 1)) & 1)
        return POLICY;
    if ((reason = header(ctx, cpu)) || (reason = name(ctx, cpu)) || (reason = question_and_edns(ctx, set, cpu)))
        return reason;

    struct match match;
    if ((reason = look_up(ctx, set, cpu, &match)))
        return reason;
    u64 tail_index = match.zone->tail;
    CUT(tail_index, TAILS - 1);
    struct tail *tail = &set->tails[tail_index];

    u64 message_at = cpu->udp + UDP_LEN;
    u32 question_end = HEADER_LEN + cpu->name_len + 4;
    u32 query_len = cpu->end - message_at;
    u32 reply_len = question_end + tail->len + (cpu->edns ? tail->edns_len : 0);
    if (reply_len > MESSAGE_LEN_MAX)
        return LONG;
    if (control->sample && ++cpu->to_sample >= control->sample) {
        cpu->to_sample = 0;
        return SAMPLED;
    }
    u64 removed = sum_of(ctx, message_at + question_end, cpu->end);
    u8 *flags = at(ctx, message_at + 2, 1);
    if (!flags)
        return LENGTH;
    u32 recursion_desired = *flags & 1;

    int grow = (int)(message_at + reply_len) - (int)(ctx->data_end - ctx->data);
    int room = make_room(ctx, grow, message_at + question_end);
    if (!room)
        return ROOM;
    /* From here on nothing can fail: the frame has just the length of the reply. */
    if (room < 0 || !write_message(ctx, cpu, tail, match.start, removed)
        || !write_ip(ctx, cpu, UDP_LEN + reply_len) || !write_ethernet(ctx))
        return REASONS;
    count(control, cpu, match.zone, recursion_desired, query_len, reply_len);
    return ANSWERED;
}

SECTION("xdp") int as112(struct xdp_md *ctx)
{
    u32 none = 0, id = get_smp_processor_id();
    struct control *control = map_lookup_elem(&CONTROL, &none);
    struct cpu *cpu = map_lookup_elem(&CPUS, &id);
    if (!control || !cpu)
        return XDP_PASS;
    volatile u64 *busy = &cpu->busy;
    if (*busy) {
        cpu->reasons[BUSY]++;
        return XDP_PASS;
    }
    *busy = 1;
    u64 reason = respond(ctx, control, cpu);
    u32 verdict = reason == ANSWERED ? XDP_TX : reason == DROPPED ? XDP_DROP : reason < REASONS ? XDP_PASS : XDP_ABORTED;
    CUT(reason, REASONS_ROOM - 1);
    cpu->reasons[reason]++;
    *busy = 0;
    return verdict;
}

char _license[] SECTION("license") = "MIT OR Apache-2.0";
