/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A TCP packet in a program at packets: reading it, and changing it so that its checksums stay what they were: right,
 * wrong, or not there yet. Ethernet frames only (and lo, which has such headers too).
 *
 * Bytes at the end are taken away by shortening the length in the IP header alone: the kernel that receives cuts off
 * what is behind it. That works for packets of many segments, too, and costs nothing. Where packets leave this
 * kernel, the packet itself is shortened as well.
 */
#ifndef BPF_PACKET_BPF_H
#define BPF_PACKET_BPF_H

#include "bpf/fault.h"
#include "bpf/kernel.bpf.h"

enum {
	ETHER = 14, /* where the IP header is */
	ETH_P_IP = 0x0800,
	ETH_P_IPV6 = 0x86dd,
	ETH_P_ARP = 0x0806,
	IPPROTO_HOPOPTS = 0,
	IPPROTO_DSTOPTS = 60,
	FLAG_FIN = 0x01,
	FLAG_SYN = 0x02,
	FLAG_RST = 0x04,
	FLAG_PSH = 0x08,
	FLAG_ACK = 0x10,
	FLAG_URG = 0x20,
	TCP_SEQ = 4,
	TCP_ACK = 8,
	TCP_FLAGS = 12, /* a word: length of the header, flags */
	TCP_CHECK = 16,
};

struct packet {
	__u32 tcp;  /* where its header is */
	__u32 data; /* where the bytes of the program are */
	__u32 size; /* how many those are */
	__u32 seq;
	__u32 ack;
	__u16 word; /* TCP_FLAGS */
	__u16 six;  /* IPv6 */
};

static __always_inline void packet_mapped(__u8 to[16], const __be32 *ip)
{
	__be32 *word = (__be32 *)to;

	word[0] = word[1] = 0;
	word[2] = bpf_htonl(0xffff);
	word[3] = *ip;
}

/* Options stand between the headers if a program has set them: its hops' and the receiver's. 0: not TCP. */
static __always_inline __u32 packet_behind_options(struct __sk_buff *skb, __u32 next)
{
	__u32 at = ETHER + 40;
	__u8 head[2];

	for (int i = 0; i < 3 && next != IPPROTO_TCP; i++) {
		if ((next != IPPROTO_HOPOPTS && next != IPPROTO_DSTOPTS) || bpf_skb_load_bytes(skb, at, head, 2))
			return 0;
		next = head[0];
		at += (head[1] + 1) * 8;
	}
	return next == IPPROTO_TCP ? at : 0;
}

/* Addresses into the key; returns where the next header is, 0: not TCP. *ret_end: where the IP packet ends. */
static __always_inline __u32 packet_ip(struct __sk_buff *skb, struct rule_flow_key *key, __u32 *ret_end)
{
	__u8 head[40] __attribute__((aligned(8)));
	__u16 size;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, ETHER, head, 20) || head[9] != IPPROTO_TCP)
			return 0;
		if (*(__u16 *)(head + 6) & bpf_htons(0x1fff)) /* a later fragment */
			return 0;
		size = bpf_ntohs(*(__u16 *)(head + 2));
		*ret_end = size ? ETHER + size : skb->len;
		packet_mapped(key->source, (__be32 *)(head + 12));
		packet_mapped(key->target, (__be32 *)(head + 16));
		return ETHER + (head[0] & 15) * 4;
	}
	if (skb->protocol != bpf_htons(ETH_P_IPV6) || bpf_skb_load_bytes(skb, ETHER, head, 40))
		return 0;
	size = bpf_ntohs(*(__u16 *)(head + 4));
	*ret_end = size ? ETHER + 40 + size : skb->len;
	__builtin_memcpy(key->source, head + 8, 16);
	__builtin_memcpy(key->target, head + 24, 16);
	return packet_behind_options(skb, head[6]);
}

/* 0: it is a TCP packet, and that is its key but for the box. */
static __always_inline int packet_read(struct __sk_buff *skb, struct packet *p, struct rule_flow_key *key)
{
	struct {
		__be16 source, target;
		__be32 seq, ack;
		__be16 word;
		__be16 unused;
	} head;
	__u32 end = 0;

	p->tcp = packet_ip(skb, key, &end);
	if (!p->tcp || bpf_skb_load_bytes(skb, p->tcp, &head, sizeof(head)))
		return -1;
	key->source_port = bpf_ntohs(head.source);
	key->target_port = bpf_ntohs(head.target);
	p->six = skb->protocol == bpf_htons(ETH_P_IPV6);
	p->seq = bpf_ntohl(head.seq);
	p->ack = bpf_ntohl(head.ack);
	p->word = bpf_ntohs(head.word);
	p->data = p->tcp + (p->word >> 12) * 4;
	p->size = end > p->data ? end - p->data : 0;
	return 0;
}

struct packet_sum {
	struct __sk_buff *skb;
	__u32 at;
	__u32 left;
	__u32 sum;
};

static long packet_sum_part(__u32 i, struct packet_sum *part)
{
	__u32 block[16] = {}, size = part->left;

	if (!size)
		return 1;
	size = size > sizeof(block) ? sizeof(block) : size;
	barrier_var(size); /* what follows changes nothing, but lets older verifiers see that it is 1 at least */
	size = ((size - 1) & (sizeof(block) - 1)) + 1;
	if (bpf_skb_load_bytes(part->skb, part->at, block, size))
		return 1;
	part->sum = bpf_csum_diff(0, 0, block, sizeof(block), part->sum);
	part->at += size;
	part->left -= size;
	return 0;
}

/* Writes one word of the TCP header, two or four bytes (a constant), in the order of the network. */
static __always_inline void packet_put(struct __sk_buff *skb, struct packet *p, __u32 at, __u32 old, __u32 new,
				       __u32 size)
{
	__be16 half = new;

	bpf_l4_csum_replace(skb, p->tcp + TCP_CHECK, old, new, size);
	if (size == 2)
		bpf_skb_store_bytes(skb, p->tcp + at, &half, 2, 0);
	else
		bpf_skb_store_bytes(skb, p->tcp + at, &new, 4, 0);
}

static __always_inline void packet_seq(struct __sk_buff *skb, struct packet *p, __u32 seq)
{
	if (p->seq != seq)
		packet_put(skb, p, TCP_SEQ, bpf_htonl(p->seq), bpf_htonl(seq), 4);
	p->seq = seq;
}

static __always_inline void packet_ack(struct __sk_buff *skb, struct packet *p, __u32 ack)
{
	if (p->ack != ack)
		packet_put(skb, p, TCP_ACK, bpf_htonl(p->ack), bpf_htonl(ack), 4);
	p->ack = ack;
}

static __always_inline void packet_flags(struct __sk_buff *skb, struct packet *p, __u32 clear, __u32 set)
{
	__u16 word = (p->word & ~clear) | set;

	if (p->word != word)
		packet_put(skb, p, TCP_FLAGS, bpf_htons(p->word), bpf_htons(word), 2);
	p->word = word;
}

/* Only its first `keep` bytes stay. leaves: it is on its way out, where others may segment it afterwards. */
__noinline int packet_trim(struct __sk_buff *skb, struct packet *p, __u32 keep, __u32 leaves)
{
	struct packet_sum part = { .skb = skb };
	__u32 tcp, ip, check;
	__be16 old, new;

	if (!p || keep >= p->size)
		return 0;
	if (leaves && keep && skb->gso_size && keep > skb->gso_size)
		keep = skb->gso_size; /* its sender sends the rest again */
	part.at = p->data + keep;
	part.left = p->size - keep;
	bpf_loop(4096, packet_sum_part, &part, 0);
	check = p->tcp + TCP_CHECK;
	if (keep & 1) /* those bytes stood the other way round in their words */
		part.sum = part.sum << 8 | part.sum >> 24;
	bpf_l4_csum_replace(skb, check, 0, ~part.sum, 0);
	tcp = p->data - p->tcp;
	old = bpf_htons(tcp + p->size);
	new = bpf_htons(tcp + keep);
	bpf_l4_csum_replace(skb, check, old, new, BPF_F_PSEUDO_HDR | 2);
	ip = ETHER + (p->six ? 4 : 2);
	new = bpf_htons(p->data + keep - ETHER - (p->six ? 40 : 0));
	if (!p->six) {
		bpf_skb_load_bytes(skb, ip, &old, 2);
		bpf_l3_csum_replace(skb, ETHER + 10, old, new, 2);
	}
	bpf_skb_store_bytes(skb, ip, &new, 2, 0);
	p->size = keep;
	if (leaves)
		bpf_skb_change_tail(skb, p->data + keep, 0);
	return 0;
}

/* It goes back to where it came from: everything that has two sides is exchanged. Sums stay what they are. */
__noinline int packet_turn(struct __sk_buff *skb, struct packet *p)
{
	__u8 both[32] __attribute__((aligned(8))), turned[32] __attribute__((aligned(8)));

	if (!p)
		return 0;
	bpf_skb_load_bytes(skb, 0, both, 12);
	__builtin_memcpy(turned, both + 6, 6);
	__builtin_memcpy(turned + 6, both, 6);
	bpf_skb_store_bytes(skb, 0, turned, 12, 0);
	if (p->six) {
		bpf_skb_load_bytes(skb, ETHER + 8, both, 32);
		__builtin_memcpy(turned, both + 16, 16);
		__builtin_memcpy(turned + 16, both, 16);
		bpf_skb_store_bytes(skb, ETHER + 8, turned, 32, 0);
	} else {
		bpf_skb_load_bytes(skb, ETHER + 12, both, 8);
		__builtin_memcpy(turned, both + 4, 4);
		__builtin_memcpy(turned + 4, both, 4);
		bpf_skb_store_bytes(skb, ETHER + 12, turned, 8, 0);
	}
	bpf_skb_load_bytes(skb, p->tcp, both, 4);
	__builtin_memcpy(turned, both + 2, 2);
	__builtin_memcpy(turned + 2, both, 2);
	bpf_skb_store_bytes(skb, p->tcp, turned, 4, 0);
	return 0;
}

/* An RST to whoever sent this packet, which is spoilt by that. seq: that the sender waits for. */
static __always_inline void packet_refuse(struct __sk_buff *skb, struct packet *p, __u32 seq, __u32 ack)
{
	packet_turn(skb, p);
	packet_seq(skb, p, seq);
	packet_ack(skb, p, ack);
	packet_flags(skb, p, FLAG_FIN | FLAG_SYN | FLAG_PSH | FLAG_URG, FLAG_RST | FLAG_ACK);
}

#endif
