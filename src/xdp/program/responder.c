/* Answers queries for names in empty zones before the kernel has made a packet of the frame. A frame is sent
 * back with the whole answer, is dropped where its source gets nothing, or passes untouched to the sockets.
 *
 * All is looked at first, and nothing written before it is sure that there will be an answer. What the answer
 * is, the node has decided: the tails are those that its sockets answer with.
 *
 * What verifiers want, of which older ones know less; tests/kernels tries those of Linux 6.1 and 6.12:
 * - What indexes memory is bounded by the last CUT alone, never by a branch after it: where the compiler keeps a
 *   copy of the value on the stack, Linux 6.1 does not bound the copy. So a table has room for every value of
 *   the mask (REASONS_ROOM, TYPES_ROOM).
 * - CUT is inline assembly, as the compiler removes a mask that it can prove to be superfluous.
 * - A pointer into the frame is checked against its end for as many bytes as are read. A check holds for all
 *   constant distances from the same variable place, so one is enough for several headers, and what stands up to
 *   MESSAGE_AT + HEADER_LEN bytes before a place in the message needs none: more is always before it.
 * - After xdp_adjust_head and xdp_adjust_tail no pointer into the frame is valid: `data` and `end` are read again.
 * - Loops have constant bounds and are not unrolled (LOOP).
 * - Each way through is verified by itself as long as its values differ from those of the others. Where ways meet,
 *   values must be unknown: those of the headers are computed without branches (link_layer), and what a loop leaves
 *   goes through `struct cpu` (noted), as what is read from memory is any number. All else is in registers: notes
 *   cost time.
 * - -mcpu=v3: without 32-bit jumps clang 14 shifts values back and forth, and bounds are lost. */
#include "responder.h"

#define ETHERNET_LEN 14
#define VLAN_LEN 4
#define IPV4_LEN 20
#define IPV6_LEN 40
#define UDP_LEN 8
#define HEADER_LEN 12
#define OPT_LEN 11
/* Where a message begins, with IPv4 and without a tag: `shift` of a packet counts from here. */
#define MESSAGE_AT (ETHERNET_LEN + IPV4_LEN + UDP_LEN)
/* A bit of `shift` that is set with IPv6 alone, of 0, 4, 20 and 24. */
#define SHIFT_IPV6 16
#define SHIFTS 31
/* Bytes that are copied at once. */
#define BLOCK 32
/* The longest message that is looked at, and the longest reply: what needs no EDNS. */
#define MESSAGE_LEN_MAX 512
#define NAME_LEN_MAX 255
/* Options of one OPT. */
#define OPTIONS_MAX 16
/* More than any place in a frame that is looked at; a mask. */
#define PLACES 1023
#define TTL 64
/* A driver that has no room after one frame has none after the next ones: so many grow at their head. */
#define HEAD_FIRST 255

#define OPTION_NSID 3
#define OPTION_SUBNET 8
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

/* A value as it comes back from a note: any number to the verifier. */
#define noted(note, value) (*(volatile typeof(note) *)&(note) = (value), *(volatile typeof(note) *)&(note))
#define note_of(note) (*(volatile typeof(note) *)&(note))

/* What is known of a frame. It never is in memory as a whole. */
struct packet {
    u8 *data;
    u8 *end;
    u64 tag_len; /* 0 or VLAN_LEN */
    u64 shift;   /* where the message begins, from MESSAGE_AT on */
    u64 source[2]; /* IPv4 is mapped into IPv6 */
    u64 destination[2];
    u64 source_hash;
    u64 destination_hash;
    u64 listener;
    u64 ip_sum; /* what leaves the sum of IPv4's header: all but the addresses */
    u64 len;  /* of the message */
    u64 head; /* from its flags to NSCOUNT */
    u64 name_len;
    u64 labels;
    u64 starts;
    u64 qtype;
    u64 edns; /* none, without DO, with it */
};

/* Where the IP header and the message begin; nothing is checked. */
INLINE u8 *network_of(const struct packet *packet)
{
    u64 tag_len = packet->tag_len;
    CUT(tag_len, VLAN_LEN);
    return packet->data + tag_len + ETHERNET_LEN;
}

INLINE u8 *message_of(const struct packet *packet)
{
    u64 shift = packet->shift;
    CUT(shift, SHIFTS);
    return packet->data + shift + MESSAGE_AT;
}

/* Asked anew each time: what a branch was taken for stays known of a value that is kept. */
INLINE int is_ipv6(const struct packet *packet)
{
    u64 shift = packet->shift;
    OPAQUE(shift);
    return (shift & SHIFT_IPV6) != 0;
}

/* The `len` bytes at `place` of the frame, or nothing. What is beyond PLACES becomes another place: for those that
 * call it, one that is checked against the message's end as well. */
INLINE void *at(const struct packet *packet, u64 place, u32 len)
{
    CUT(place, PLACES);
    u8 *found = packet->data + place;
    return found + len > packet->end ? 0 : found;
}

INLINE void find_ends(struct packet *packet, struct xdp_md *ctx)
{
    packet->data = (void *)(long)ctx->data;
    packet->end = (void *)(long)ctx->data_end;
}

/* Ones' complement sums (RFC 1071) in the machine's order of bytes. */
INLINE u64 halves(u64 word)
{
    return (word & 0xFFFFFFFF) + (word >> 32);
}

/* Of less than 2^48, and not 0: what is divisible by 0xFFFF is 0xFFFF. */
INLINE u64 fold(u64 sum)
{
    sum = (sum & 0xFFFF) + (sum >> 16 & 0xFFFF) + (sum >> 32);
    sum = (sum & 0xFFFF) + (sum >> 16);
    return (sum & 0xFFFF) + (sum >> 16);
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

INLINE u32 link_layer(struct control *control, struct packet *packet)
{
    u8 *data = packet->data;
    if (data + ETHERNET_LEN > packet->end)
        return ELSEWHERE;
    u64 mac = *(u64 *)data << 16 >> 16;
    u64 type = *(u16 *)(data + 12);
    /* No branches: the places of all that follows would be verified for each way by itself. */
    u64 untagged = (type ^ BE16(0x8100)) - 1;
    OPAQUE(untagged);
    packet->tag_len = untagged >> 61 & VLAN_LEN;
    u8 *network = network_of(packet);
    if (network + IPV4_LEN > packet->end)
        return ELSEWHERE;
    u64 protocol = *(u16 *)(network - 2), is_ipv6 = protocol >> 7 & 1;
    OPAQUE(is_ipv6);
    packet->shift = packet->tag_len + is_ipv6 * (IPV6_LEN - IPV4_LEN);
    OPAQUE(packet->shift);
    if (protocol != BE16(0x0800) && protocol != BE16(0x86DD))
        return ELSEWHERE;
    u64 vlan = 0;
    if (type == BE16(0x8100)) {
        vlan = BE16(*(u16 *)(network - VLAN_LEN)) & 0x0FFF;
        /* A priority without a VLAN: the kernel takes it, and replies without a tag. */
        if (!vlan)
            return ELSEWHERE;
    }
    u64 word = vlan >> 6;
    LOOP for (int i = 0; i < INTERFACES; i++) {
        struct interface *one = &control->interfaces[i];
        CUT(word, 4096 / 64 - 1);
        if (one->mac == mac && one->vlans[word] >> (vlan & 63) & 1)
            return ANSWERED;
    }
    return ELSEWHERE;
}

#define MAPPED 0xFFFF0000ULL

/* `len` is what UDP's length must be. */
INLINE u32 ipv4(struct packet *packet, u64 *len)
{
    u8 *ip = network_of(packet);
    if (ip + IPV4_LEN > packet->end || ip[9] != 17)
        return ELSEWHERE;
    if (ip[0] != 0x45 || (*(u16 *)(ip + 6) & ~BE16(0x4000)))
        return FRAGMENT;
    u32 *word = (void *)ip;
    packet->ip_sum = summed(word[2] >> 16) + ~word[0] + (u64)~word[1] + (u16)~word[2];
    packet->source[0] = packet->destination[0] = 0;
    packet->source[1] = MAPPED | (u64) * (u32 *)(ip + 12) << 32;
    packet->destination[1] = MAPPED | (u64) * (u32 *)(ip + 16) << 32;
    packet->source_hash = mix(packet->source[1]);
    packet->destination_hash = mix(packet->destination[1]);
    *len = (u64)BE16(*(u16 *)(ip + 2)) - IPV4_LEN;
    return ANSWERED;
}

INLINE u32 ipv6(struct packet *packet, u64 *len)
{
    u8 *ip = network_of(packet);
    if (ip + IPV6_LEN > packet->end || ip[0] >> 4 != 6)
        return ELSEWHERE;
    if (ip[6] != 17)
        /* TCP and ICMP are no matter; after other headers there may be anything. */
        return ip[6] == 6 || ip[6] == 58 ? ELSEWHERE : FRAGMENT;
    packet->source[0] = *(u64 *)(ip + 8);
    packet->source[1] = *(u64 *)(ip + 16);
    packet->destination[0] = *(u64 *)(ip + 24);
    packet->destination[1] = *(u64 *)(ip + 32);
    packet->source_hash = mix(mix(packet->source[0]) ^ packet->source[1]);
    packet->destination_hash = mix(mix(packet->destination[0]) ^ packet->destination[1]);
    if (!packet->destination[0])
        /* An IPv4 address in the form of IPv6, which is none of a socket's; nor is anything else here to be
           answered for. */
        return ELSEWHERE;
    *len = BE16(*(u16 *)(ip + 4));
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
INLINE int is_martian(struct control *control, const struct packet *packet)
{
    const u64 *source = packet->source;
    if (is_ipv6(packet)) {
        /* Multicast; link-local; ::/64 with ::, ::1 and mapped IPv4. */
        if ((source[0] & 0xFF) == 0xFF || (source[0] & 0xC0FF) == 0x80FE || !source[0])
            return 1;
    } else {
        u8 first = source[1] >> 32;
        if (first == 0 || first == 127 || first >= 224)
            return 1;
    }
    if (source[0] == packet->destination[0] && source[1] == packet->destination[1])
        return 1;
    if (control->own >> (packet->source_hash >> 58) & 1 && find_target(control, source, packet->source_hash, 0))
        return 1;
    return find_prefix(control, source, 0) != 0;
}

/* Whether the node is alive. The clock moves with the kernel's ticks, so it is asked once for each. */
INLINE int is_alive(struct control *control, struct cpu *cpu)
{
    u64 tick = jiffies64();
    if (tick == cpu->tick)
        return 1;
    int is_alive = ktime_get_coarse_ns() <= control->alive_until;
    cpu->tick = is_alive ? tick : 0;
    return is_alive;
}

INLINE u32 network_layers(struct control *control, struct cpu *cpu, struct packet *packet)
{
    u16 *udp = (void *)(message_of(packet) - UDP_LEN);
    if ((u8 *)udp + UDP_LEN + HEADER_LEN > packet->end)
        return ELSEWHERE;
    u64 len;
    u32 reason = is_ipv6(packet) ? ipv6(packet, &len) : ipv4(packet, &len);
    if (reason)
        return reason;
    /* Port 0 is none; below it is any. */
    if (!udp[1])
        return ELSEWHERE;
    struct target *target = find_target(control, packet->destination, packet->destination_hash, udp[1]);
    if (target) {
        if (target->listener >= LISTENERS)
            return ELSEWHERE;
        packet->listener = target->listener;
    } else {
        struct prefix *prefix = find_prefix(control, packet->destination, udp[1]);
        if (!prefix)
            return ELSEWHERE;
        packet->listener = prefix->listener;
    }
    if (!control->is_serving)
        return NOT_SERVING;
    if (!is_alive(control, cpu))
        return NOT_ALIVE;
    if (BE16(udp[2]) != len || MESSAGE_AT - UDP_LEN + packet->shift + len > (u64)(packet->end - packet->data))
        return LENGTH;
    packet->len = len - UDP_LEN;
    if (len < UDP_LEN + HEADER_LEN + 5 || packet->len > MESSAGE_LEN_MAX)
        return LENGTH;
    /* IPv6 has no packet without a checksum (RFC 8200, section 8.1). */
    if (is_ipv6(packet) && !udp[3])
        return LENGTH;
    u64 port = BE16(udp[0]);
    if (port <= control->ports_max) {
        u64 word = port >> 6;
        CUT(word, 1023);
        if (control->ports[word] >> (port & 63) & 1)
            return SOURCE;
    }
    return is_martian(control, packet) ? SOURCE : ANSWERED;
}

/* Whether the source is in a network that gets nothing. */
INLINE int is_dropped(struct set *set, const struct packet *packet)
{
    u64 high = __builtin_bswap64(packet->source[0]), low = __builtin_bswap64(packet->source[1]);
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

/* Notes where the last labels begin. */
INLINE u32 name(struct cpu *cpu, struct packet *packet)
{
    u8 *byte = message_of(packet) + HEADER_LEN;
    u64 len = 0, starts = 0;
    u32 labels = 0;
    LOOP for (; labels < 128; labels++) {
        if (byte + 1 > packet->end)
            return NAME;
        u64 label = *byte;
        if (!label)
            break;
        if (label > 63)
            return NAME;
        /* What is above a byte is of a name that is too long. */
        starts = starts << 8 | len;
        label++;
        byte += label;
        len += label;
    }
    packet->labels = noted(cpu->labels, labels);
    packet->starts = noted(cpu->starts, starts);
    packet->name_len = noted(cpu->name_len, len + 1);
    return packet->name_len > NAME_LEN_MAX ? NAME : ANSWERED;
}

/* Where the question ends, from the message on. */
INLINE u64 question_end(const struct packet *packet)
{
    return HEADER_LEN + packet->name_len + 4;
}

/* What stands after the name; nothing is checked. */
INLINE u8 *question_of(const struct packet *packet)
{
    u64 name_len = packet->name_len;
    CUT(name_len, NAME_LEN_MAX);
    return message_of(packet) + name_len + HEADER_LEN;
}

/* The sum of the message's bytes from `start` on, whose first is the first half of a word. */
INLINE u64 sum_from(const struct packet *packet, u64 start)
{
    u64 sum = 0, from = MESSAGE_AT + packet->shift, end = packet->len;
    LOOP for (u32 i = 0; i < MESSAGE_LEN_MAX / 8; i++) {
        if (start + 8 > end)
            break;
        u64 *word = at(packet, from + start, 8);
        if (!word)
            break;
        sum += halves(*word);
        start += 8;
    }
    u64 left = end - start;
    if (left) {
        u64 *word = at(packet, from + end - 8, 8);
        if (word)
            sum += halves(*word >> (64 - left * 8 & 63));
    }
    return sum;
}

/* The options of an OPT fill its rdata, which begins at `place` of the message, and none of them is one that the node
 * answers. */
INLINE u32 options(struct set *set, struct packet *packet, u64 place, u64 *cookie)
{
    LOOP for (int i = 0; i <= OPTIONS_MAX; i++) {
        if (place == packet->len)
            return ANSWERED;
        u16 *option = at(packet, MESSAGE_AT + packet->shift + place, 4);
        if (!option || place + 4 > packet->len)
            return EDNS;
        u32 len = BE16(option[1]);
        if (option[0] == BE16(OPTION_NSID))
            return EDNS;
        if (option[0] == BE16(OPTION_SUBNET) && set->passes_subnets)
            return EDNS;
        if (option[0] == BE16(OPTION_COOKIE) && set->passes_cookies)
            return EDNS;
        if (option[0] == BE16(OPTION_COOKIE) && !*cookie)
            /* As the first is counted: the client's alone, with a server's, neither. */
            *cookie = len == 8 ? 1 : len >= 16 && len <= 40 ? 2 : 3;
        place += 4 + len;
        if (place > packet->len)
            return EDNS;
    }
    return EDNS;
}

/* The OPT at `opt`, which begins at `place` of the message. */
INLINE u32 edns(struct set *set, struct cpu *cpu, struct packet *packet, const u8 *opt, u64 place, u64 *cookie, u64 *removed)
{
    if (opt + OPT_LEN > packet->end || place + OPT_LEN > packet->len)
        return EDNS;
    u64 word = *(u64 *)opt;
    u32 rdlen = *(u16 *)(opt + 9);
    /* The root's name, OPT, and version 0. */
    if ((word & 0x00FF000000FFFFFFULL) != (u64)BE16(TYPE_OPT) << 8 || place + OPT_LEN + BE16(rdlen) != packet->len)
        return EDNS;
    packet->edns = word >> 63 ? 2 : 1;
    *removed = halves(word) + *(u16 *)(opt + 8) + opt[10];
    if (!rdlen)
        return ANSWERED;
    u32 reason = options(set, packet, place + OPT_LEN, cookie);
    packet->len = note_of(cpu->len);
    *removed = sum_from(packet, place);
    return reason;
}

INLINE u32 question(struct set *set, struct cpu *cpu, struct packet *packet)
{
    u8 *message = message_of(packet);
    if (message + HEADER_LEN > packet->end)
        return LENGTH;
    packet->head = *(u64 *)(message + 2);
    /* QR and the opcode, and the counts of all but additional records. */
    if ((packet->head & 0xFFFFFFFFFFFF00F8ULL) != (u64)BE16(1) << 16)
        return HEADER;
    u32 additional = *(u16 *)(message + 10), reason;
    if (additional & ~BE16(1))
        return HEADER;
    if ((reason = name(cpu, packet)))
        return reason;
    u8 *question = question_of(packet);
    if (question + 4 > packet->end || question_end(packet) > packet->len)
        return NAME;
    u32 asked = *(u32 *)question;
    packet->qtype = BE16(asked);
    if (asked >> 16 != BE16(CLASS_IN) || packet->qtype == TYPE_IXFR || packet->qtype == TYPE_AXFR)
        return TYPE;
    packet->edns = 0;
    note_of(cpu->len) = packet->len;
    u64 cookie = 0, removed = 0, place = question_end(packet);
    if (!additional) {
        if (place != packet->len)
            return LENGTH;
    } else if ((reason = edns(set, cpu, packet, question + 4, place, &cookie, &removed))) {
        return reason;
    }
    note_of(cpu->cookie) = cookie;
    note_of(cpu->removed) = removed;
    packet->edns = noted(cpu->edns, packet->edns);
    packet->len = note_of(cpu->len);
    return ANSWERED;
}

/*------------ Which zone it is in ---*/

/* The last words of the qname, from its end, lower case. */
struct near {
    u64 words[NEAR_WORDS];
};

INLINE u64 near_hash(const struct near *near)
{
    return near->words[0] * 0xFF51AFD7ED558CCDULL + near->words[1] * 0xC4CEB9FE1A85EC53ULL
           + near->words[2] * 0x9E3779B97F4A7C15ULL + near->words[3] * 0xD6E8FEB86659FD93ULL;
}

/* The words of the name's last `len` bytes, of at most 8 * NEAR_WORDS. */
INLINE struct near cut_to(const struct near *near, u64 len)
{
    struct near cut = *near;
    u64 mask = ~0ULL << (64 - 8 * len & 63);
    if (len <= 24) {
        cut.words[3] = 0;
        if (len <= 16) {
            cut.words[2] = 0;
            if (len <= 8) {
                cut.words[1] = 0;
                cut.words[0] &= mask;
            } else {
                cut.words[1] &= mask;
            }
        } else {
            cut.words[2] &= mask;
        }
    } else {
        cut.words[3] &= mask;
    }
    return cut;
}

INLINE int has_words(const struct zone *zone, const struct near *near, u64 len)
{
    return zone->words[0] == near->words[0] && zone->words[1] == near->words[1] && zone->words[2] == near->words[2]
           && zone->words[3] == near->words[3] && zone->len == len;
}

/* The slot at a place, and the next place. */
INLINE u32 slot_at(const struct set *set, u64 *place)
{
    u64 at = *place;
    CUT(at, SLOTS - 1);
    *place = at + 1;
    return set->slots[at];
}

/* Whether it may be that of the name: if not, the zone need not be fetched. */
INLINE int is_tagged(u32 slot, u64 hash)
{
    return slot >> 16 == (hash >> 20 & 0xFFFF);
}

INLINE struct zone *zone_of(struct set *set, u32 slot)
{
    u64 index = (slot & 0xFFFF) - 1;
    CUT(index, ZONES - 1);
    return &set->zones[index];
}

/* Where the suffix of `depth` labels begins in the name. */
INLINE u64 suffix_start(const struct packet *packet, u64 depth)
{
    return packet->starts >> (8 * depth - 8 & 63) & 0xFF;
}

/* Notes the words before the near ones. */
INLINE void note_far(struct cpu *cpu, const struct packet *packet)
{
    u64 place = MESSAGE_AT + packet->shift + HEADER_LEN + packet->name_len - 8 * NEAR_WORDS;
    LOOP for (u32 i = 0; i < FAR_WORDS; i++) {
        place -= 8;
        /* Before the name there are headers, so that a word may begin there. */
        u64 *word = at(packet, place, 8);
        if (!word)
            break;
        cpu->far_words[i] = lower(*word);
    }
}

/* Notes what `len` bytes before the near ones are, as a zone has them; the sum of their hashes. */
INLINE u64 cut_far(struct cpu *cpu, u64 len)
{
    u64 hash = 0, bits = noted(cpu->far_bits, 8 * len);
    LOOP for (u64 i = 0; i < FAR_WORDS; i++) {
        u64 word = cpu->far_words[i];
        if (!bits)
            word = 0;
        else if (bits < 64)
            word &= ~0ULL << (64 - bits & 63);
        cpu->far_cut[i] = word;
        hash += word * (0xFF51AFD7ED558CCDULL + (i << 33));
        bits = note_of(cpu->far_bits);
        bits -= bits < 64 * (i + 1) ? bits : 64 * (i + 1);
    }
    return hash;
}

INLINE int has_far_words(struct set *set, struct cpu *cpu, const struct zone *zone)
{
    u64 place = zone->far, different = 0;
    CUT(place, ZONES - 1);
    struct far *far = &set->far[place];
    LOOP for (u64 i = 0; i < FAR_WORDS; i++)
        different |= far->words[i] ^ cpu->far_cut[i];
    return !different;
}

/* The zone of the longest suffix of over 8 * NEAR_WORDS bytes, and where it begins in the name. Few nodes have any. */
INLINE struct zone *find_far(struct set *set, struct cpu *cpu, const struct packet *packet, const struct near *near, u64 *start, u64 *depth)
{
    u64 depths = set->depths;
    note_far(cpu, packet);
    LOOP for (int i = 0; i < LABELS && depths; i++, depths >>= 8) {
        *depth = depths & 0xFF;
        if (*depth > packet->labels)
            continue;
        *start = suffix_start(packet, *depth);
        u64 len = packet->name_len - *start;
        if (len <= 8 * NEAR_WORDS || len > 8 * (NEAR_WORDS + FAR_WORDS))
            continue;
        u64 hash = near_hash(near) + cut_far(cpu, len - 8 * NEAR_WORDS), place = hash >> (set->slots_shift & 63);
        LOOP for (int probe = 0; probe < SLOT_PROBES; probe++) {
            u32 slot = slot_at(set, &place);
            if (!slot)
                break;
            struct zone *zone = zone_of(set, slot);
            if (is_tagged(slot, hash) && has_words(zone, near, len) && has_far_words(set, cpu, zone))
                return zone;
        }
    }
    return 0;
}

/* The zone of the longest suffix of up to 8 * NEAR_WORDS bytes. */
INLINE struct zone *find_near(struct set *set, const struct packet *packet, const struct near *near, u64 *start, u64 *depth)
{
    u64 depths = set->depths;
    LOOP for (int i = 0; i < LABELS && depths; i++, depths >>= 8) {
        *depth = depths & 0xFF;
        if (*depth > packet->labels)
            continue;
        *start = suffix_start(packet, *depth);
        u64 len = packet->name_len - *start;
        if (len > 8 * NEAR_WORDS)
            continue;
        struct near cut = cut_to(near, len);
        u64 hash = near_hash(&cut), place = hash >> (set->slots_shift & 63);
        LOOP for (int probe = 0; probe < SLOT_PROBES; probe++) {
            u32 slot = slot_at(set, &place);
            if (!slot)
                break;
            struct zone *zone = zone_of(set, slot);
            if (is_tagged(slot, hash) && has_words(zone, &cut, len))
                return zone;
        }
    }
    return 0;
}

/* The zone that the name is in, and where its name begins in the question. */
INLINE u32 look_up(struct set *set, struct cpu *cpu, struct packet *packet, struct zone **zone, u64 *start)
{
    u8 *end = question_of(packet);
    if (end + 4 > packet->end)
        return OUTSIDE;
    struct near near = {{lower(*(u64 *)(end - 8)), lower(*(u64 *)(end - 16)), lower(*(u64 *)(end - 24)), lower(*(u64 *)(end - 32))}};
    u64 depth;
    *zone = 0;
    if (set->name_len_max > 8 * NEAR_WORDS && packet->name_len > 8 * NEAR_WORDS)
        *zone = find_far(set, cpu, packet, &near, start, &depth);
    packet->name_len = note_of(cpu->name_len);
    if (!*zone && !(*zone = find_near(set, packet, &near, start, &depth)))
        return OUTSIDE;
    if (depth == packet->labels)
        return APEX;
    *start = noted(cpu->start, *start);
    packet->name_len = note_of(cpu->name_len);
    return ANSWERED;
}

/*------------ The reply ---*/

/* Makes the frame `grow` bytes longer: after its end, or before its beginning, and then its first `len`
 * bytes are moved there. With 0 it is as it was. */
INLINE int make_room(struct xdp_md *ctx, struct cpu *cpu, struct packet *packet, int grow, u32 len)
{
    int is_tried = grow <= 0 || (!HEAD_ONLY && !cpu->head_first);
    if (is_tried) {
        if (!xdp_adjust_tail(ctx, grow)) {
            find_ends(packet, ctx);
            return 1;
        }
        if (grow <= 0)
            return 0;
        cpu->head_first = HEAD_FIRST;
    } else if (!HEAD_ONLY) {
        cpu->head_first--;
    }
    if (xdp_adjust_head(ctx, -grow)) {
        if (is_tried || HEAD_ONLY || xdp_adjust_tail(ctx, grow))
            return 0;
        find_ends(packet, ctx);
        return 1;
    }
    find_ends(packet, ctx);
    u64 *to = (void *)packet->data, *from = at(packet, grow, BLOCK), *last = at(packet, len - BLOCK + grow, BLOCK);
    if (!from || !last)
        return -1;
    /* The last block overlaps the one before: it is read before that is written. */
    u64 a = last[0], b = last[1], c = last[2], d = last[3];
    LOOP for (u32 done = BLOCK; done < PLACES; done += BLOCK) {
        if (done > len || (u8 *)from + BLOCK > packet->end || (u8 *)to + BLOCK > packet->end)
            break;
        u64 e = from[0], f = from[1], g = from[2], h = from[3];
        to[0] = e, to[1] = f, to[2] = g, to[3] = h;
        from += BLOCK / 8, to += BLOCK / 8;
    }
    last = at(packet, len - BLOCK, BLOCK);
    if (!last)
        return -1;
    last[0] = a, last[1] = b, last[2] = c, last[3] = d;
    return 1;
}

INLINE int write_ethernet(const struct packet *packet)
{
    if (packet->data + ETHERNET_LEN > packet->end)
        return 0;
    u64 *head = (void *)packet->data;
    u32 *rest = (void *)(packet->data + 8);
    u64 to = head[0], from = to >> 48 | (u64)*rest << 16;
    head[0] = from | to << 48;
    *rest = to >> 16;
    return 1;
}

INLINE int write_ip(const struct packet *packet, u32 udp_len)
{
    u8 *network = network_of(packet);
    if (is_ipv6(packet)) {
        u64 *ip = (void *)network;
        if (network + IPV6_LEN > packet->end)
            return 0;
        ip[0] = 0x60 | (u64)BE16(udp_len) << 32 | 17ULL << 48 | (u64)TTL << 56;
        ip[1] = packet->destination[0];
        ip[2] = packet->destination[1];
        ip[3] = packet->source[0];
        ip[4] = packet->source[1];
        return 1;
    }
    u32 *ip = (void *)network;
    if (network + IPV4_LEN > packet->end)
        return 0;
    /* Nothing is read here: bytes that were just moved are slow to come back. */
    u64 sum = packet->ip_sum;
    ip[0] = 0x45 | (u32)BE16(udp_len + IPV4_LEN) << 16;
    ip[1] = (u32)BE16(0x4000) << 16; /* don't fragment */
    sum += (0x45 | (u64)BE16(udp_len + IPV4_LEN) << 16) + ((u64)BE16(0x4000) << 16) + (TTL | 17 << 8);
    ip[2] = TTL | 17 << 8 | (u32)checksum(sum) << 16;
    ip[3] = packet->destination[1] >> 32;
    ip[4] = packet->source[1] >> 32;
    return 1;
}

/* Copies the tail to `place`. */
INLINE int write_tail(const struct packet *packet, const struct tail *tail, u8 *place, u64 len)
{
    u64 *to = (void *)place;
    const u64 *from = tail->words;
    LOOP for (u32 done = BLOCK; done < TAIL_LEN_MAX; done += BLOCK) {
        if (done > len || (u8 *)to + BLOCK > packet->end)
            break;
        to[0] = from[0], to[1] = from[1], to[2] = from[2], to[3] = from[3];
        to += BLOCK / 8, from += BLOCK / 8;
    }
    /* The last block may overlap the one before. */
    u64 last = len - BLOCK;
    CUT(last, TAIL_LEN_MAX - 1);
    to = (void *)(place + last);
    if ((u8 *)to + BLOCK > packet->end)
        return 0;
    from = (void *)((u8 *)tail->words + last);
    to[0] = from[0], to[1] = from[1], to[2] = from[2], to[3] = from[3];
    return 1;
}

/* Writes the compression pointers of the tail at `place`, and adds them to its sum. */
INLINE int write_pointers(const struct packet *packet, const struct zone *zone, u8 *place, u64 start, u64 *sum)
{
    LOOP for (u32 i = 0; i < RELOCATIONS; i++) {
        if (i >= zone->relocations_len)
            break;
        const struct relocation *relocation = &zone->relocations[i];
        u64 base = relocation->is_from_tail ? question_end(packet) : HEADER_LEN + start, where = relocation->at;
        u8 *pointer = place + where;
        OPAQUE(pointer);
        if (pointer + 2 > packet->end)
            return 0;
        u16 value = BE16(0xC000 | (base + relocation->delta));
        *(u16 *)pointer = value;
        *sum += where & 1 ? BE16(value) : value;
    }
    return 1;
}

INLINE int write_message(struct set *set, struct cpu *cpu, const struct packet *packet, const struct zone *zone, u64 start)
{
    u64 kind = packet->edns, tail_index = zone->tail;
    CUT(kind, 3);
    CUT(tail_index, TAILS - 1);
    /* The question ends where it ended, in a frame that may be elsewhere. */
    u8 *message = message_of(packet), *place = question_of(packet) + 4;
    if (message + HEADER_LEN > packet->end)
        return 0;
    u64 sum = zone->sums[kind];
    if (!write_tail(packet, &set->tails[tail_index], place, note_of(cpu->tail_len)) || !write_pointers(packet, zone, place, start, &sum))
        return 0;
    if (kind == 2) {
        u64 at_opt = zone->tail_len;
        CUT(at_opt, TAIL_LEN_MAX - 1);
        u8 *opt = place + at_opt;
        OPAQUE(opt);
        if (opt + OPT_LEN > packet->end)
            return 0;
        opt[7] = 0x80;
    }
    /* What is added, less what is removed, of which there are at most 62 words: 0xFFFF and its multiples are nothing. */
    sum += (0xFFFFULL << 24) - note_of(cpu->removed);
    /* At an odd place halves of words are the other ones, which is to be shifted by one. */
    sum <<= (question_end(packet) & 1) * 8;
    u16 *udp = (void *)(message - UDP_LEN);
    u16 len = BE16(UDP_LEN + question_end(packet) + note_of(cpu->tail_len)), before = packet->head;
    /* QR and AA, RD as it was; NXDOMAIN. */
    u16 flags = (before & 0x01) | 0x84 | 0x03 << 8;
    /* The length is summed twice: it is in the pseudo-header as well. */
    sum += summed(udp[3]) + (u16)~before + flags + BE16(1) + 2 * ((u64)(u16)~udp[2] + len);
    u32 ports = *(u32 *)udp;
    *(u32 *)udp = ports >> 16 | ports << 16;
    udp[2] = len;
    if (udp[3]) {
        u16 value = checksum(sum);
        udp[3] = value ? value : 0xFFFF;
    }
    *(u64 *)(message + 2) = flags | (u64)BE16(1) << 16 | (u64)BE16(1) << 48;
    return 1;
}

/*------------ Counting ---*/

INLINE void count(struct control *control, struct cpu *cpu, const struct packet *packet, const struct zone *zone, u64 reply_len)
{
    u64 service = zone->service, family = packet->shift / SHIFT_IPV6, recursion_desired = packet->head & 1;
    u64 kind = (service * 2 + family) * 2 + recursion_desired;
    kind = (kind * EDNS_KINDS + packet->edns) * COOKIE_KINDS + note_of(cpu->cookie);
    CUT(kind, SERVICES * 2 * 2 * EDNS_KINDS * COOKIE_KINDS - 1);
    (&cpu->kinds[0][0][0][0][0])[kind]++;
    u64 series = zone->series;
    CUT(series, SERIES - 1);
    cpu->zones[series]++;
    u64 listener = packet->listener;
    CUT(listener, LISTENERS - 1);
    cpu->listeners[listener]++;
    u64 type = packet->qtype;
    if (type > TYPES_KNOWN)
        type = TYPES_KNOWN;
    CUT(type, TYPES_ROOM - 1);
    u64 counted = control->types[type];
    CUT(counted, TYPES - 1);
    cpu->types[counted]++;
    cpu->query_bytes += packet->len;
    cpu->reply_bytes += reply_len;
    u64 bin = packet->len / 16;
    CUT(bin, BINS - 1);
    cpu->query_bins[bin]++;
    bin = reply_len / 16;
    CUT(bin, BINS - 1);
    cpu->reply_bins[bin]++;
}

INLINE u32 respond(struct xdp_md *ctx, struct control *control, struct cpu *cpu)
{
    struct packet packet;
    find_ends(&packet, ctx);
    u32 reason;
    if ((reason = link_layer(control, &packet)) || (reason = network_layers(control, cpu, &packet)))
        return reason;
    u32 index = control->set & 1;
    struct set *set = map_lookup_elem(&SETS, &index);
    if (!set)
        return OUTSIDE;
    if (set->drops_len && is_dropped(set, &packet))
        return DROPPED;
    if (set->passes_all)
        return LIMITED;
    if (set->ruled >> (packet.listener & (LISTENERS - 1)) & 1)
        return POLICY;
    struct zone *zone;
    u64 start;
    if ((reason = question(set, cpu, &packet)) || (reason = look_up(set, cpu, &packet, &zone, &start)))
        return reason;
    /* As edns is 0, 1 or 2. */
    u64 tail_len = zone->tail_len + (packet.edns + 1) / 2 * OPT_LEN, reply_len = question_end(&packet) + tail_len;
    if (reply_len > MESSAGE_LEN_MAX)
        return LONG;
    note_of(cpu->tail_len) = tail_len;
    if (control->sample && ++cpu->to_sample >= control->sample) {
        cpu->to_sample = 0;
        return SAMPLED;
    }
    u64 message_at = MESSAGE_AT + packet.shift;
    int grow = (int)(message_at + reply_len) - (int)(packet.end - packet.data);
    int room = make_room(ctx, cpu, &packet, grow, message_at + question_end(&packet));
    packet.name_len = note_of(cpu->name_len);
    if (!room)
        return ROOM;
    /* From here on nothing can fail: the frame has just the length of the reply. */
    if (room < 0 || !write_message(set, cpu, &packet, zone, start) || !write_ip(&packet, UDP_LEN + reply_len)
        || !write_ethernet(&packet))
        return REASONS;
    count(control, cpu, &packet, zone, reply_len);
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
