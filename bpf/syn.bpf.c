// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Names of connections between kernels. The end that accepts on another kernel than the one that connects cannot know which
 * connection of whom it is, so the SYN says it, in an experimental TCP option. Attached to the cgroup of a run that has boxes on
 * several kernels, and to nothing else: no socket of anybody else says, or looks for, anything.
 *
 * Without the option (a middlebox took it out, no room beside a Fast Open cookie, SYN cookies) the accepted end has no
 * name, and no rule finds it.
 */
#include "bpf/fault_maps.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum { SOCK_OPS_SYN = 0x02, SOCK_OPS_ACK = 0x10, SOCK_OPS_INET = 2, LEVEL_TCP = 6, SAVE_SYN = 27 };

static __always_inline __u64 *syn_connector(struct bpf_sock_ops *ops)
{
	__u64 cookie = bpf_get_socket_cookie(ops);

	return bpf_map_lookup_elem(&syn_connectors, &cookie);
}

static __always_inline int is_syn(struct bpf_sock_ops *ops)
{
	return (ops->skb_tcp_flags & (SOCK_OPS_SYN | SOCK_OPS_ACK)) == SOCK_OPS_SYN;
}

static __always_inline void syn_write(struct bpf_sock_ops *ops)
{
	struct syn_option option = { SYN_OPTION_KIND, sizeof(option), bpf_htons(SYN_OPTION_ID), {} };
	__u64 *connector = is_syn(ops) ? syn_connector(ops) : 0, value;

	if (!connector)
		return;
	value = bpf_cpu_to_be64(*connector);
	__builtin_memcpy(option.connector, &value, sizeof(value));
	bpf_store_hdr_opt(ops, &option, sizeof(option), 0);
}

/* Was there an option with the SYN? Then this end has a name from its first byte on. */
static __always_inline void syn_read(struct bpf_sock_ops *ops)
{
	/* what to look for: kind, size of this, id */
	struct syn_option option = { SYN_OPTION_KIND, 4, bpf_htons(SYN_OPTION_ID), {} };
	struct ip_key local = {};
	__u64 value, key, name;
	__u32 *box;

	if (bpf_load_hdr_opt(ops, &option, sizeof(option), BPF_LOAD_HDR_OPT_TCP_SYN) != sizeof(option))
		return;
	if (ops->family == SOCK_OPS_INET) {
		__u32 words[4] = { 0, 0, bpf_htonl(0xffff), ops->local_ip4 };

		__builtin_memcpy(local.ip, words, 16);
	} else {
		__u32 words[4] = { ops->local_ip6[0], ops->local_ip6[1], ops->local_ip6[2], ops->local_ip6[3] };

		__builtin_memcpy(local.ip, words, 16);
	}
	box = bpf_map_lookup_elem(&addresses, &local);
	if (!box)
		return;
	__builtin_memcpy(&value, option.connector, sizeof(value));
	name = fault_connection_name(bpf_be64_to_cpu(value), *box, local.ip, ops->local_port);
	key = (__u64)ops->snd_nxt << 32 | ops->rcv_nxt; /* end_key() */
	bpf_map_update_elem(&syn_names, &key, &name, BPF_ANY);
}

SEC("sockops")
int bop_syn(struct bpf_sock_ops *ops)
{
	int on = 1;

	switch (ops->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		if (syn_connector(ops))
			bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
		break;
	case BPF_SOCK_OPS_HDR_OPT_LEN_CB:
		if (is_syn(ops))
			bpf_reserve_hdr_opt(ops, sizeof(struct syn_option), 0);
		break;
	case BPF_SOCK_OPS_WRITE_HDR_OPT_CB:
		syn_write(ops);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags & ~BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
		break;
	case BPF_SOCK_OPS_TCP_LISTEN_CB: /* what a SYN said is kept until its connection is established */
		bpf_setsockopt(ops, LEVEL_TCP, SAVE_SYN, &on, sizeof(on));
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		syn_read(ops);
		break;
	}
	return 1;
}
