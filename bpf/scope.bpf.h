/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whose event is it? A task with state is traced, a socket with state is ours; both cost one
 * look-up and nothing else for everybody on the machine who is not.
 */
#ifndef BPF_SCOPE_BPF_H
#define BPF_SCOPE_BPF_H

#include "bpf/compat.bpf.h"
#include "bpf/emit.bpf.h"

static __always_inline struct task_state *task_kept(struct task_struct *task)
{
	struct task_state *state = bpf_task_storage_get(&tasks, task, 0, 0);

	return state && state->seed.epoch == epoch ? state : 0;
}

/*
 * The same for a task that can be anybody's: most of the machine is spared the call. Where a task is likely ours there is no
 * such look: newer kernels search all of their type names for each pointer that a program follows, when they check it.
 */
static __always_inline struct task_state *task_find(struct task_struct *task)
{
	return task->bpf_storage ? task_kept(task) : 0;
}

/* State of the process that a task belongs to; the task's own if the first thread has none. */
static __always_inline struct task_state *process_find(struct task_struct *task,
						       struct task_state *state)
{
	struct task_state *process;

	if (task->pid == task->tgid)
		return state;
	process = task_kept(task->group_leader);
	return process ? process : state;
}

/* The order of a process, drawn by a thread that is not its first. The current task's. */
verified_once __u64 thread_order_draw(struct task_state *state)
{
	struct task_state *process;

	if (!state)
		return 0;
	process = process_find(bpf_get_current_task_btf(), state);
	return __sync_fetch_and_add(&process->order, 1) + 1;
}

/* task: the current one. */
static __always_inline __u64 order_draw(struct task_struct *task, struct task_state *state)
{
	__u64 order = task->pid == task->tgid ? __sync_fetch_and_add(&state->order, 1) + 1 : thread_order_draw(state);

	state->last_order = order;
	return order;
}

static __always_inline struct task_state *task_create(struct task_struct *task, __u32 box,
						      __u32 ignored)
{
	struct task_state *state =
		bpf_task_storage_get(&tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!state) {
		count(COUNTER_LOST_TASK);
		return 0;
	}
	__builtin_memset(state, 0, sizeof(*state)); /* may be left over from an earlier run */
	state->seed.epoch = epoch;
	state->seed.box = box;
	state->seed.ignored = ignored;
	return state;
}

/*
 * Which thread or child of that process it is, from 1, by the state of the first thread. 0: a thread for io_uring, which the
 * kernel makes when it likes.
 */
static __always_inline __u32 task_number(struct task_struct *task, struct task_state *process)
{
	if (task->pid == task->tgid)
		return __sync_fetch_and_add(&process->children, 1) + 1;
	return task->flags & PF_IO_WORKER ? 0 : __sync_fetch_and_add(&process->threads, 1) + 1;
}

/* Keeps the end of a path that does not fit. */
static __always_inline void name_copy(char name[REC_NAME_MAX], const char *path)
{
	char long_name[256];
	long size = bpf_probe_read_kernel_str(long_name, sizeof(long_name), path);

	if (size <= REC_NAME_MAX)
		bpf_probe_read_kernel_str(name, REC_NAME_MAX, path);
	else
		bpf_probe_read_kernel_str(name, REC_NAME_MAX, path + size - REC_NAME_MAX);
}

static __always_inline void exec_emit(struct task_struct *task, struct task_state *state,
				      __u16 kind, const char *path)
{
	__u64 order = order_draw(task, state);
	__u64 now = bpf_ktime_get_ns();
	struct rec_exec *record;

	record = record_reserve(sizeof(*record), kind, 0, state->seed.box, order, now, now, task);
	if (!record)
		return;
	record->parent_tgid = task->real_parent->tgid;
	record->unused = 0;
	bpf_get_current_comm(record->comm, sizeof(record->comm));
	__builtin_memset(record->name, 0, sizeof(record->name));
	if (path)
		name_copy(record->name, path);
	else
		__builtin_memcpy(record->name, record->comm, sizeof(record->comm));
	record_submit(record);
}

/* The current task has no state and uses a socket of ours: from here on it is traced. 0: no memory. */
verified_once int task_appear(__u32 box)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state;

	if (task->pid != task->tgid && !task_kept(task->group_leader))
		task_create(task->group_leader, box, 0);
	state = task_create(task, box, 0);
	if (state)
		exec_emit(task, state, REC_APPEAR, 0);
	return state != 0;
}

/* The current task's state, made if need be; NULL: ignored, a stranger in a guest's box, or no memory. */
static __always_inline struct task_state *task_current(struct task_struct *task, __u32 box)
{
	struct task_state *state = task_kept(task);

	if (seldom(!state) && !(box & BOX_GUEST) && task_appear(box))
		state = bpf_task_storage_get(&tasks, task, 0, 0);
	return state && !state->seed.ignored ? state : 0;
}

/*
 * Whatever is remembered of a socket, of any epoch; NULL: nothing. Kprobes cannot ask a socket's storage: with them, all
 * programs use a table. An address in it may have been used again since: the cookie tells.
 */
static __always_inline struct sock_state *sock_state(struct sock *sk)
{
	struct sock_state *state;
	__u64 address = (__u64)sk;

#ifndef HOOK_UNTYPED
	if (!socks_in_table)
		return bpf_sk_storage_get(&socks, sk, 0, 0);
#endif
	state = bpf_map_lookup_elem(&sock_table, &address);
	return state && state->cookie == (__u64)peek(sk, __sk_common.skc_cookie.counter) ? state : 0;
}

/* State of a socket of ours, else NULL. Ignored sockets are none of ours. */
static __always_inline struct sock_state *sock_kept(struct sock *sk)
{
	struct sock_state *state = sock_state(sk);

	return state && state->epoch == epoch && !(state->flags & SOCK_F_IGNORED) ? state : 0;
}

/* The same for a socket that can be anybody's: as with tasks. */
static __always_inline struct sock_state *sock_find(struct sock *sk)
{
#ifndef HOOK_UNTYPED
	if (!socks_in_table && !sk->sk_bpf_storage)
		return 0;
#endif
	return sock_kept(sk);
}

/* Room for a state; what is in it does not matter. */
static __always_inline struct sock_state *sock_room(struct sock *sk)
{
	__u64 address = (__u64)sk;

#ifndef HOOK_UNTYPED
	if (!socks_in_table)
		return bpf_sk_storage_get(&socks, sk, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
#endif
	bpf_map_update_elem(&sock_table, &address, &sock_none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&sock_table, &address);
}

#ifndef HOOK_UNTYPED
/* The socket is about to go. A storage goes with it by itself. */
static __always_inline void sock_forget(struct sock *sk)
{
	__u64 address = (__u64)sk;

	if (socks_in_table)
		bpf_map_delete_elem(&sock_table, &address);
}

#endif

/* Its cookie, which it gets if it has none; from a kprobe it cannot get one: 0. */
static __always_inline __u64 sock_cookie(struct sock *sk)
{
#ifdef HOOK_UNTYPED
	return peek(sk, __sk_common.skc_cookie.counter);
#else
	return bpf_get_socket_cookie(sk);
#endif
}

/* A fresh state, also when the socket had one: it may connect again. */
static __always_inline struct sock_state *sock_create(struct sock *sk, __u32 box, __u32 flags)
{
	__u64 cookie = sock_cookie(sk);
	struct sock_state *state = cookie ? sock_room(sk) : 0;

	if (!state) {
		count(COUNTER_LOST_SOCKET);
		return 0;
	}
	__builtin_memset(state, 0, sizeof(*state));
	state->cookie = cookie;
	state->epoch = epoch;
	state->box = box;
	state->flags = flags;
	return state;
}

/* An end by the first numbers of its two directions, by which its peer can find it; and that peer. */
static __always_inline __u64 end_key(const struct sock_state *ss)
{
	return (__u64)ss->first_local << 32 | ss->first_remote;
}

static __always_inline __u64 peer_key(const struct sock_state *ss)
{
	return (__u64)ss->first_remote << 32 | ss->first_local;
}

/* Box of a socket's network namespace, 0: not in scope. */
static __always_inline __u32 sock_box(struct sock *sk)
{
	struct net *net = peek(sk, __sk_common.skc_net.net);
	__u64 cookie = peek(net, net_cookie);
	__u32 *box = bpf_map_lookup_elem(&boxes, &cookie);

	return box ? *box : 0;
}

/* When the current call went to sleep, else now; forgets it. */
static __always_inline __u64 call_enter(struct task_struct *task, struct task_state *state,
					__u64 now)
{
	__u64 slept = state->sleep_ns;
	struct pt_regs *regs;

	if (!slept)
		return now;
	state->sleep_ns = 0;
	regs = task_regs(task);
	if (task_call(task) != state->sleep_call || (__u32)regs_arg1(regs) != state->sleep_fd)
		return now;
	return slept;
}

#endif
