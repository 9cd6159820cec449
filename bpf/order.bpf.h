/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Names and places: where bytes lie in their stream, addresses, and which connect of its process
 * this is.
 */
#ifndef BPF_ORDER_BPF_H
#define BPF_ORDER_BPF_H

#include "bpf/scope.bpf.h"

/*
 * Unwraps a sequence number to 64 bits: it may lie a little before or behind `position` (never 2 GiB), which belongs to the same
 * stream.
 */
static __always_inline __u64 position_near(__u64 position, __u32 first, __u32 seq)
{
	return position + (__s64)(__s32)(seq - first - (__u32)position);
}

/* One word is all that changes: whoever comes between, in a softirq or on another CPU, finds it right, and leaves it so. */
static __always_inline __u64 sent_position(struct sock_state *ss, __u32 seq)
{
	return ss->sent = position_near(ss->sent, ss->first_local, seq);
}

static __always_inline __u64 received_position(struct sock_state *ss, __u32 seq)
{
	return ss->received = position_near(ss->received, ss->first_remote, seq);
}

/* The number of what is read next. */
static __always_inline __u32 received_number(const struct sock_state *ss)
{
	return ss->first_remote + (__u32)ss->received;
}

/*
 * Number of the next byte that the program will take, without the place of a FIN that has been
 * taken.
 */
static __always_inline __u32 received_end(struct sock *sk, struct tcp_sock *tp)
{
	__u32 end = peek(tp, copied_seq);

	return end - (peek(sk, __sk_common.skc_flags) & SOCK_DONE_BIT && end == peek(tp, rcv_nxt));
}

static __always_inline void address_fill(struct rec_addr *addr, __u16 family, __be32 v4,
					 const __be32 v6[4], __u16 port)
{
	__be32 *ip = (__be32 *)addr->ip;

	if (family == AF_INET6) {
		ip[0] = v6[0];
		ip[1] = v6[1];
		ip[2] = v6[2];
		ip[3] = v6[3];
	} else {
		ip[0] = ip[1] = 0;
		ip[2] = bpf_htonl(0xffff);
		ip[3] = v4;
	}
	addr->port = port;
	addr->family = family;
}

static __always_inline void remote_address(struct sock *sk, struct rec_addr *addr)
{
	__u16 family = peek(sk, __sk_common.skc_family);
	__be32 v4 = peek(sk, __sk_common.skc_daddr), v6[4] = {};

	if (family == AF_INET6)
		BPF_CORE_READ_INTO(&v6, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32);
	barrier_var(v4); /* else it is read where v6 would be, by one instruction for both */
	address_fill(addr, family, v4, v6, bpf_ntohs(peek(sk, __sk_common.skc_dport)));
}

static __always_inline void local_address(struct sock *sk, struct rec_addr *addr)
{
	__u16 family = peek(sk, __sk_common.skc_family);
	__be32 v4 = peek(sk, __sk_common.skc_rcv_saddr), v6[4] = {};

	if (family == AF_INET6)
		BPF_CORE_READ_INTO(&v6, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32);
	barrier_var(v4); /* else it is read where v6 would be, by one instruction for both */
	address_fill(addr, family, v4, v6, peek(sk, __sk_common.skc_num));
}

/* A program's struct sockaddr. -1: it cannot be read, or is of another family. */
static __always_inline int address_read(struct rec_addr *addr, __u64 user)
{
	struct {
		__u16 family;
		__be16 port;
		__be32 word[5]; /* IPv4: address; IPv6: flow, address */
	} sa = {};

	bpf_probe_read_user(&sa, 8, (void *)user);
	if (sa.family == AF_INET6)
		bpf_probe_read_user(&sa, sizeof(sa), (void *)user);
	else if (sa.family != AF_INET)
		return -1;
	address_fill(addr, sa.family, sa.word[0], &sa.word[1], bpf_ntohs(sa.port));
	return 0;
}

static __always_inline int address_is_loopback(const __u8 ip[16])
{
	const __be32 *word = (const __be32 *)ip;

	if (word[0] || word[1])
		return 0;
	if (word[2] == bpf_htonl(0xffff))
		return ip[12] == 127;
	return !word[2] && word[3] == bpf_htonl(1);
}

/* The box that an address belongs to, 0: none. */
static __always_inline __u32 address_box(const struct rec_addr *addr, __u32 own_box)
{
	__u32 *box = bpf_map_lookup_elem(&addresses, addr->ip);

	if (box)
		return *box;
	return address_is_loopback(addr->ip) ? own_box & ~BOX_GUEST : 0;
}

/* The next number of a target, from 1; 0: could not be counted. */
static __always_inline __u32 target_count(struct target *target)
{
	__u32 zero = 0, *ordinal = bpf_map_lookup_elem(&ordinals, target);

	if (!ordinal) {
		bpf_map_update_elem(&ordinals, target, &zero, BPF_NOEXIST);
		ordinal = bpf_map_lookup_elem(&ordinals, target);
	}
	if (!ordinal) {
		count(COUNTER_LOST_ORDINAL);
		return 0;
	}
	return __sync_fetch_and_add(ordinal, 1) + 1;
}

/* Which connect of this process to that target is it? From 1; 0: could not be counted. */
static __always_inline __u32 ordinal_draw(struct task_struct *task, __u32 own_box,
					  struct rec_addr *remote)
{
	struct target target = {};

	if (!remote)
		return 0;
	target.tgid = task->tgid;
	target.start = task->group_leader->start_time;
	target.port = remote->port;
	target.box = address_box(remote, own_box);
	if (!target.box)
		__builtin_memcpy(target.ip, remote->ip, 16);
	return target_count(&target);
}

#endif
