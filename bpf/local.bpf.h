/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Unix-domain streams. They have no sequence numbers: each end counts the bytes that its sends and receives returned, from
 * when it was first seen. Counted are the calls of everybody who uses such a socket, recorded only those of traced tasks; so a
 * socket is followed as soon as a traced task uses one of its ends.
 *
 * Counts are added up when calls return, without a lock: with one thread that writes and one that reads they are exact; where
 * several share an end, whose bytes came first is a guess.
 */
#ifndef BPF_LOCAL_BPF_H
#define BPF_LOCAL_BPF_H

#include "bpf/order.bpf.h"
#include "bpf/scope.bpf.h"

struct local_state {
	__u64 number;
	__u64 peer;
	__u64 sent, received;
	__u32 epoch;
	__u32 message; /* last number given out */
	__u32 told;    /* LOCAL was written */
	__u32 acceptor;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct local_state);
} locals SEC(".maps") __weak;

/* socket (inode, which no later one has) that was connected or accepted, and not used yet -> ordinal of its connect(), or 0 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} local_begun SEC(".maps") __weak;

static __always_inline __u64 local_inode(struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_socket, file, f_inode, i_ino);
}

/* A CONNECT or ACCEPT tells of the socket before it is used. */
static __always_inline void local_begins(struct sock *sk, __u32 ordinal)
{
	__u64 inode = local_inode(sk);

	if (bpf_map_update_elem(&local_begun, &inode, &ordinal, BPF_ANY))
		count(COUNTER_LOST_ORDINAL);
}

/* Name of a bound socket: a path (its end, if it is long), @ and an abstract name, or nothing. Returns whether it has one. */
static __always_inline int local_name(struct unix_sock *sock, char name[REC_NAME_MAX])
{
	struct unix_address *addr = BPF_CORE_READ(sock, addr);
	int len = addr ? BPF_CORE_READ(addr, len) : 0;
	const char *path = addr ? (const char *)addr + bpf_core_field_offset(addr->name) + 2 : 0;
	char first = 0;

	__builtin_memset(name, 0, REC_NAME_MAX);
	if (len <= 2)
		return 0;
	bpf_probe_read_kernel(&first, 1, path);
	len -= 3; /* family, and the zero in front or behind */
	if (first) {
		if (len > REC_NAME_MAX - 1)
			path += len - (REC_NAME_MAX - 1);
		bpf_probe_read_kernel_str(name, REC_NAME_MAX, path);
		return 1;
	}
	name[0] = '@';
	if (len > REC_NAME_MAX - 2)
		len = REC_NAME_MAX - 2;
	if (len > 0)
		bpf_probe_read_kernel(name + 1, len, path + 1);
	return 1;
}

/* k-th of these that the process connected to, or was first to use. */
static __always_inline __u32 local_ordinal(struct task_struct *task, __u32 kind, const char *name)
{
	struct target target = {};
	const __u64 *words = (const __u64 *)name;
	__u64 hash = kind;

#pragma unroll
	for (int i = 0; i < REC_NAME_MAX / 8; i++) {
		hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 29;
	}
	target.tgid = task->tgid;
	target.start = task->group_leader->start_time;
	target.kind = TARGET_LOCAL;
	__builtin_memcpy(target.ip, &hash, sizeof(hash));
	return target_count(&target);
}

#ifndef HOOK_UNTYPED
static __always_inline struct local_state *local_find(struct sock *sk)
{
	struct local_state *ls = sk->sk_bpf_storage ? bpf_sk_storage_get(&locals, sk, 0, 0) : 0;

	return ls && ls->epoch == epoch ? ls : 0;
}

static __always_inline struct local_state *local_create(struct sock *sk, __u64 number, __u64 peer, __u32 acceptor)
{
	struct local_state *ls = bpf_sk_storage_get(&locals, sk, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!ls) /* the other end made this socket's first storage at the same moment */
		ls = bpf_sk_storage_get(&locals, sk, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!ls) {
		count(COUNTER_LOST_SOCKET);
		return 0;
	}
	if (ls->epoch == epoch) /* the other end was quicker */
		return ls;
	__builtin_memset(ls, 0, sizeof(*ls));
	ls->number = number;
	ls->peer = peer;
	ls->acceptor = acceptor;
	ls->epoch = epoch;
	return ls;
}

/*
 * Both ends of a stream that is seen for the first time. The accepted end has the name that was bound; of two that have
 * none, or both have one, the second one made is called the acceptor.
 */
static __noinline struct local_state *locals_create(struct sock *sk)
{
	struct unix_sock *sock = bpf_skc_to_unix_sock(sk), *other;
	struct local_state *ls;
	__u64 number, number_peer;
	struct sock *peer;
	int named, named_peer;

	if (!sock)
		return 0;
	peer = sock->peer; /* held by this end as long as it lives */
	other = peer ? bpf_skc_to_unix_sock(peer) : 0;
	if (!other)
		return 0;
	named = sock->addr != 0;
	named_peer = other->addr != 0;
	if (named == named_peer) {
		named = local_inode(sk) > local_inode(peer);
		named_peer = !named;
	}
	number = bpf_get_socket_cookie(sk);
	number_peer = bpf_get_socket_cookie(peer);
	ls = local_create(sk, number, number_peer, named);
	if (!ls || !local_create(peer, number_peer, number, named_peer))
		return 0;
	return ls;
}

static __noinline int local_tell(struct sock *sk, struct local_state *ls)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state = task_find(task);
	__u64 now = bpf_ktime_get_ns(), inode;
	struct unix_sock *sock = bpf_skc_to_unix_sock(sk);
	struct rec_local *record;
	__u32 *begun;

	if (!state || !ls || !sock || __sync_lock_test_and_set(&ls->told, 1))
		return 0;
	record = record_reserve(sizeof(*record), REC_LOCAL, ls->acceptor ? REC_F_ACCEPTOR : 0, state->seed.box,
				order_draw(task, state), now, now, task);
	if (!record)
		return 0;
	record->id = (__u64)sk;
	record->number = ls->number;
	record->peer = ls->peer;
	record->kind = REC_LOCAL_UNIX;
	record->ordinal = 0;
	inode = local_inode(sk);
	begun = bpf_map_lookup_elem(&local_begun, &inode);
	if (begun) {
		record->head.flags |= REC_F_CONTINUED;
		record->ordinal = *begun;
		bpf_map_delete_elem(&local_begun, &inode);
	}
	if (ls->acceptor) {
		local_name(sock, record->name);
	} else {
		local_name((struct unix_sock *)BPF_CORE_READ(sock, peer), record->name);
		if (!record->ordinal)
			record->ordinal = local_ordinal(task, REC_LOCAL_UNIX, record->name);
	}
	record_submit(record);
	return 0;
}

/* The state of a stream that is traced, whoever uses it now; NULL: it is not. */
static __always_inline struct local_state *local_use(struct sock *sk, struct task_state *state)
{
	struct local_state *ls = transports & TRACE_UNIX ? local_find(sk) : 0;

	if (!(transports & TRACE_UNIX))
		return 0;
	if (!ls && state)
		ls = locals_create(sk);
	if (ls && state && !ls->told)
		local_tell(sk, ls);
	return ls;
}

static __always_inline void local_emit(struct sock *sk, struct task_struct *task, struct task_state *state, __u16 kind,
				       __u64 enter, __u64 pos, __s64 result, __u32 message)
{
	struct rec_transfer *record;

	record = record_reserve(sizeof(*record), kind, 0, state->seed.box, order_draw(task, state), enter,
				bpf_ktime_get_ns(), task);
	if (!record)
		return;
	if (!enter)
		record->head.enter_ns = record->head.return_ns;
	record->cookie = (__u64)sk;
	record->pos = pos;
	record->result = result;
	record->message = message;
	record->local = 1;
	record->content = 0;
	record_submit(record);
}

/* A send on a unix-domain stream returned. */
static __noinline int local_sent(struct sock *sk, int result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state = task_find(task);
	struct local_state *ls;
	__u32 message = 0;
	__u64 pos;

	if (state && state->seed.ignored)
		state = 0;
	ls = local_use(sk, state);
	if (!ls || !result || is_retry(result))
		return 0;
	if (result < 0) {
		pos = ls->sent;
	} else {
		pos = __sync_fetch_and_add(&ls->sent, result);
		message = __sync_fetch_and_add(&ls->message, 1) + 1;
	}
	if (state)
		local_emit(sk, task, state, REC_SEND, 0, pos, result, message);
	return 0;
}

/*
 * Where a receive's bytes lie. If nothing waits now, all that the peer has counted was taken: what is missing between
 * went a way that is not seen (splice). The peer's count must be read first.
 */
static __always_inline __u64 local_taken_from(struct sock *sk, struct local_state *ls, int result)
{
	struct unix_sock *sock = bpf_skc_to_unix_sock(sk);
	struct sock *peer = sock ? sock->peer : 0;
	struct local_state *other = peer ? local_find(peer) : 0;
	__u64 sent = other ? other->sent : 0, pos;

	pos = __sync_fetch_and_add(&ls->received, result);
	if (pos + result < sent && !sk->sk_receive_queue.qlen) {
		__sync_fetch_and_add(&ls->received, sent - result - pos);
		pos = sent - result;
	}
	return pos;
}

/* A receive from a unix-domain stream returned. */
static __noinline int local_taken(struct sock *sk, int result, int flags)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state = task_find(task);
	struct local_state *ls;
	__u64 pos;

	if (state && state->seed.ignored)
		state = 0;
	ls = local_use(sk, state);
	if (!ls)
		return 0;
	if (flags & (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB) || is_retry(result) ||
	    (!result && !(sk->sk_shutdown & RCV_SHUTDOWN))) {
		if (state)
			state->sleep_ns = 0;
		return 0;
	}
	pos = result > 0 ? local_taken_from(sk, ls, result) : ls->received;
	if (state)
		local_emit(sk, task, state, REC_RECV, call_enter(task, state, bpf_ktime_get_ns()), pos, result, 0);
	return 0;
}
#endif

#endif
