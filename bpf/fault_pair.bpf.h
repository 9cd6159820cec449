/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What any packet meets between two boxes: walls, and faults at random. Whose a packet is tells the address of its
 * device, which ARP and neighbour discovery have too; where there is a router in between, its IP address.
 */
#ifndef BPF_FAULT_PAIR_BPF_H
#define BPF_FAULT_PAIR_BPF_H

#include "bpf/fault_flow.bpf.h"

#define PAIR_MARK 0xb0bfa017 /* in a packet that is a duplicate, until it has come by here */

/* addresses of devices -> box */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} rule_devices SEC(".maps") __weak;

enum {
	IPPROTO_ICMPV6 = 58,
	ND_FIRST = 135, /* neighbour solicitation and advertisement */
	ND_LAST = 136,
};

/* what is never touched */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct spared_key);
	__type(value, __u32);
} rule_spared SEC(".maps") __weak;

/* Address of one side of the packet; 0: it has none. */
static __always_inline int pair_ip(struct __sk_buff *skb, __u8 ip[16], __u32 target)
{
	__be32 four;

	switch (bpf_ntohs(skb->protocol)) {
	case ETH_P_IP:
		if (bpf_skb_load_bytes(skb, ETHER + (target ? 16 : 12), &four, 4))
			return 0;
		break;
	case ETH_P_ARP:
		if (bpf_skb_load_bytes(skb, ETHER + (target ? 24 : 14), &four, 4))
			return 0;
		break;
	case ETH_P_IPV6:
		return !bpf_skb_load_bytes(skb, ETHER + (target ? 24 : 8), ip, 16);
	default:
		return 0;
	}
	packet_mapped(ip, &four);
	return 1;
}

static __always_inline __u32 pair_box(struct __sk_buff *skb, __u32 target)
{
	__u64 device = 0;
	__u8 ip[16];
	__u32 *box;

	if (bpf_skb_load_bytes(skb, target ? 0 : 6, &device, 6))
		return RULE_BOX_NONE;
	box = bpf_map_lookup_elem(&rule_devices, &device);
	if (!box && pair_ip(skb, ip, target))
		box = bpf_map_lookup_elem(&addresses, ip);
	return box ? *box & ~BOX_GUEST : RULE_BOX_NONE;
}

static __always_inline int pair_side_spared(struct __sk_buff *skb, __u32 target, __u32 ports)
{
	struct spared_key key = {};
	__be16 port = 0;

	if (!pair_ip(skb, key.ip, target))
		return 0;
	if (bpf_map_lookup_elem(&rule_spared, &key))
		return 1;
	if (!ports || bpf_skb_load_bytes(skb, ports + (target ? 2 : 0), &port, 2))
		return 0;
	key.port = bpf_ntohs(port);
	return bpf_map_lookup_elem(&rule_spared, &key) != 0;
}

/* Whoever asks for the device of such an address, or answers, is left alone, too: else nothing could be sent there. */
static __always_inline int neighbour_spared(struct __sk_buff *skb)
{
	struct spared_key key = { .port = SPARED_NEIGHBOUR };
	__u8 type = 0;

	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes(skb, ETHER + 40, &type, 1) || type < ND_FIRST || type > ND_LAST ||
		    bpf_skb_load_bytes(skb, ETHER + 48, key.ip, 16))
			return 0;
		return bpf_map_lookup_elem(&rule_spared, &key) != 0;
	}
	if (pair_ip(skb, key.ip, 0) && bpf_map_lookup_elem(&rule_spared, &key))
		return 1;
	return pair_ip(skb, key.ip, 1) && bpf_map_lookup_elem(&rule_spared, &key);
}

/* Is it of those that are never touched? */
static __noinline int pair_spared(struct __sk_buff *skb)
{
	__u32 ports = 0;
	__u8 first = 0;

	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return neighbour_spared(skb);
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes(skb, ETHER + 6, &first, 1))
			return 0;
		if (first == IPPROTO_ICMPV6 && neighbour_spared(skb))
			return 1;
		ports = ETHER + 40;
	} else if (!bpf_skb_load_bytes(skb, ETHER, &first, 1)) {
		ports = ETHER + (first & 15) * 4;
	}
	return pair_side_spared(skb, 0, ports) || pair_side_spared(skb, 1, ports);
}

/* One byte of what programs sent is another one, and nobody's checksum tells. 0: there is none to change. */
static __noinline int packet_corrupt(struct __sk_buff *skb, __u64 draw)
{
	__u32 at, data, end, check, shift, flags = 0;
	__be16 old, new;
	__u8 proto, doff, byte;
	__u16 size;

	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes(skb, ETHER + 6, &proto, 1) || bpf_skb_load_bytes(skb, ETHER + 4, &size, 2))
			return 0;
		at = ETHER + 40;
		end = at + bpf_ntohs(size);
	} else if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, ETHER + 9, &proto, 1) || bpf_skb_load_bytes(skb, ETHER + 2, &size, 2) ||
		    bpf_skb_load_bytes(skb, ETHER, &byte, 1))
			return 0;
		at = ETHER + (byte & 15) * 4;
		end = ETHER + bpf_ntohs(size);
	} else {
		return 0;
	}
	if (proto == IPPROTO_TCP) {
		if (bpf_skb_load_bytes(skb, at + TCP_FLAGS, &doff, 1))
			return 0;
		data = at + (doff >> 4) * 4;
		check = at + TCP_CHECK;
	} else if (proto == IPPROTO_UDP) {
		data = at + 8;
		check = at + 6;
		flags = BPF_F_MARK_MANGLED_0;
	} else {
		return 0;
	}
	if (end <= data)
		return 0;
	data += draw % (end - data);
	if (bpf_skb_load_bytes(skb, data, &byte, 1))
		return 0;
	shift = (data - at) & 1 ? 0 : 8;
	old = bpf_htons(byte << shift);
	byte ^= 1 << (draw >> 32 & 7);
	new = bpf_htons(byte << shift);
	bpf_l4_csum_replace(skb, check, old, new, flags | 2);
	bpf_skb_store_bytes(skb, data, &byte, 1, 0);
	return 1;
}

/* What one rule does with it. 1: it is lost. Not static: so the verifier goes through it once, not for each call. */
__noinline int pair_meet(struct __sk_buff *skb, __u32 id, __u32 leaves)
{
	struct rule *rule = rule_find(id);
	int lost = 0;
	__u64 n;

	if (!rule || !rule_is_in_effect(rule) || pair_spared(skb))
		return 0;
	if (rule->effect == RULE_WALL) {
		lost = 1;
	} else {
		n = __sync_fetch_and_add(&rule->decisions, 1);
		if (!fault_decision(rule->seed, n, rule->ppm))
			return 0;
		if (rule->effect == RULE_LOSS) {
			lost = 1;
		} else if (rule->effect == RULE_CORRUPT) {
			if (!packet_corrupt(skb, fault_mix(rule->seed, n)))
				return 0;
		} else {
			skb->mark = PAIR_MARK;
			bpf_clone_redirect(skb, skb->ifindex, leaves ? 0 : BPF_F_INGRESS);
			skb->mark = 0;
		}
	}
	__sync_fetch_and_add(&rule->packets, 1);
	__sync_fetch_and_add(&rule->bytes, skb->len > ETHER ? skb->len - ETHER : 0);
	return lost;
}

static __noinline int pair_list_meets(struct __sk_buff *skb, __u32 from, __u32 to, __u32 leaves)
{
	struct rule_pair pair = { from, to };
	struct rule_list *list = bpf_map_lookup_elem(&rule_pairs, &pair);

	for (int i = 0; list && i < RULE_SHARED; i++)
		if (list->rules[i] && pair_meet(skb, list->rules[i], leaves))
			return 1;
	return 0;
}

/* 1: it is lost. */
static __always_inline int pair_meets(struct __sk_buff *skb, __u32 box, __u32 leaves, struct rule_gate *gate)
{
	__u32 other, from, to;

	if (skb->ifindex == 1) /* lo: from and to oneself */
		return 0;
	if (skb->mark == PAIR_MARK) {
		skb->mark = 0;
		return 0;
	}
	other = pair_box(skb, leaves);
	if (other == box || (leaves && other && bpf_map_lookup_elem(&rule_boxes, &other)))
		return 0; /* it is looked at where it arrives */
	from = leaves ? box : other;
	to = leaves ? other : box;
	if (pair_list_meets(skb, from, to, leaves))
		return 1;
	return gate->rest && (pair_list_meets(skb, from, RULE_BOX_ALL, leaves) ||
			      pair_list_meets(skb, RULE_BOX_ALL, to, leaves));
}

#endif
