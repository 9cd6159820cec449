// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Hooks of the kprobe backend: the same functions as in trampoline.bpf.c, for kernels that have no trampolines. What a
 * return needs of the arguments is remembered at the entry.
 */
#define HOOK_UNTYPED
#include "bpf/exec.bpf.h"
#include "bpf/function.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("kprobe/tcp_sendmsg")
int kprobe_send(struct pt_regs *ctx)
{
	return send_entered((struct sock *)function_arg(ctx, 0), function_arg(ctx, 2));
}

SEC("kprobe/tcp_sendpage")
int kprobe_page(struct pt_regs *ctx)
{
	return send_entered((struct sock *)function_arg(ctx, 0), function_arg(ctx, 3));
}

SEC("kprobe/tcp_rate_check_app_limited")
int kprobe_locked(struct pt_regs *ctx)
{
	return send_locked((struct sock *)function_arg(ctx, 0));
}

SEC("kprobe/sk_stream_wait_memory")
int kprobe_wait(struct pt_regs *ctx)
{
	return send_waits((struct sock *)function_arg(ctx, 0));
}

/* The socket of the send that the current thread is in. */
static __always_inline struct sock *sending(void)
{
	struct task_state *state = task_find(bpf_get_current_task_btf());

	return state ? (struct sock *)state->function.send_sk : 0;
}

SEC("kretprobe/sk_stream_wait_connect")
int kretprobe_connect(struct pt_regs *ctx)
{
	struct sock *sk = sending();

	return sk ? send_locked(sk) : 0;
}

SEC("kretprobe/sk_stream_wait_memory")
int kretprobe_wait(struct pt_regs *ctx)
{
	struct sock *sk = sending();

	return sk ? send_locked(sk) : 0;
}

SEC("kretprobe/tcp_sendmsg")
int kretprobe_send(struct pt_regs *ctx)
{
	struct sock *sk = sending();

	return sk ? send_left(sk, function_result(ctx)) : 0;
}

SEC("kretprobe/tcp_sendpage")
int kretprobe_page(struct pt_regs *ctx)
{
	struct sock *sk = sending();

	return sk ? send_left(sk, function_result(ctx)) : 0;
}

SEC("kprobe/tcp_recvmsg")
int kprobe_receive(struct pt_regs *ctx)
{
	struct sock *sk = (struct sock *)function_arg(ctx, 0);
	__u64 flags = function_arg(ctx, 3), old_flags = function_arg(ctx, 4);
	struct sock_state *ss = sock_used(sk);
	struct task_state *state;

	barrier_var(flags); /* read both: the verifier wants to see where */
	barrier_var(old_flags);
	if (!ss)
		return 0;
	state = task_current(bpf_get_current_task_btf(), ss->box);
	if (!state)
		return 0;
	state->recv_cookie = 0; /* of a receive whose return was missed */
	state->function.recv_sk = (__u64)sk;
	state->function.recv_flags = recv_flags_at == 3 ? flags : old_flags;
	return 0;
}

SEC("kretprobe/tcp_recvmsg")
int kretprobe_receive(struct pt_regs *ctx)
{
	struct task_state *state = task_find(bpf_get_current_task_btf());
	struct sock *sk;

	if (!state || !state->function.recv_sk)
		return 0;
	sk = (struct sock *)state->function.recv_sk;
	state->function.recv_sk = 0;
	return receive_returned(sk, function_result(ctx), state->function.recv_flags);
}

/* Only where there is no tracepoint sched_prepare_exec. */
SEC("kprobe/begin_new_exec")
int kprobe_exec(struct pt_regs *ctx)
{
	return exec_prepared(bpf_get_current_task_btf());
}
