/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where kernels and architectures differ: one helper per difference. Differences that are a whole
 * tracepoint (tcp_sendmsg_locked, sched_prepare_exec) are settled by tfj, which does not load the
 * program.
 */
#ifndef BPF_COMPAT_BPF_H
#define BPF_COMPAT_BPF_H

#include "bpf/kernel.bpf.h"

#define CALL_NONE 0xffffffff

/*
 * A function that the verifier goes through once for each program, whatever its callers hand over, and not for each call: not
 * static, and weak because several files have it. It returns a number, and takes numbers and memory that may be NULL: no
 * kernel structures. Before Linux 6.2 no map can be asked with what lies in such memory.
 */
#define verified_once __weak __noinline

#if defined(__TARGET_ARCH_x86)
enum {
	NR_READ = 0,
	NR_WRITE = 1,
	NR_READV = 19,
	NR_WRITEV = 20,
	NR_SENDFILE = 40,
	NR_CONNECT = 42,
	NR_ACCEPT = 43,
	NR_SENDTO = 44,
	NR_RECVFROM = 45,
	NR_SENDMSG = 46,
	NR_RECVMSG = 47,
	NR_SHUTDOWN = 48,
	NR_LISTEN = 50,
	NR_GETSOCKOPT = 55,
	NR_WAIT4 = 61,
	NR_WAITID = 247,
	NR_SPLICE = 275,
	NR_TEE = 276,
	NR_VMSPLICE = 278,
	NR_ACCEPT4 = 288,
	NR_RECVMMSG = 299,
	NR_SENDMMSG = 307,
};

static __always_inline __u32 regs_call(struct pt_regs *regs)
{
	return regs->orig_ax;
}

static __always_inline __u64 regs_arg1(struct pt_regs *regs)
{
	return regs->di;
}

static __always_inline __u64 regs_arg2(struct pt_regs *regs)
{
	return regs->si;
}

static __always_inline __u64 regs_arg3(struct pt_regs *regs)
{
	return regs->dx;
}

static __always_inline __u64 regs_arg4(struct pt_regs *regs)
{
	return regs->r10;
}

static __always_inline __u64 regs_arg5(struct pt_regs *regs)
{
	return regs->r8;
}

/* Arguments of a function, n from 0 and constant, at its entry; what it returned, at its return. */
static __always_inline __u64 function_arg(struct pt_regs *regs, __u32 n)
{
	switch (n) {
	case 0:
		return regs->di;
	case 1:
		return regs->si;
	case 2:
		return regs->dx;
	case 3:
		return regs->cx;
	}
	return regs->r8;
}

static __always_inline __u64 function_result(struct pt_regs *regs)
{
	return regs->ax;
}
#elif defined(__TARGET_ARCH_arm64)
enum {
	NR_READ = 63,
	NR_WRITE = 64,
	NR_READV = 65,
	NR_WRITEV = 66,
	NR_SENDFILE = 71,
	NR_VMSPLICE = 75,
	NR_SPLICE = 76,
	NR_TEE = 77,
	NR_WAITID = 95,
	NR_LISTEN = 201,
	NR_ACCEPT = 202,
	NR_CONNECT = 203,
	NR_SENDTO = 206,
	NR_RECVFROM = 207,
	NR_GETSOCKOPT = 209,
	NR_SHUTDOWN = 210,
	NR_SENDMSG = 211,
	NR_RECVMSG = 212,
	NR_ACCEPT4 = 242,
	NR_RECVMMSG = 243,
	NR_WAIT4 = 260,
	NR_SENDMMSG = 269,
};

static __always_inline __u32 regs_call(struct pt_regs *regs)
{
	return regs->syscallno;
}

static __always_inline __u64 regs_arg1(struct pt_regs *regs)
{
	return regs->orig_x0; /* x0 holds the result at the end of the call */
}

static __always_inline __u64 regs_arg2(struct pt_regs *regs)
{
	return regs->regs[1];
}

static __always_inline __u64 regs_arg3(struct pt_regs *regs)
{
	return regs->regs[2];
}

static __always_inline __u64 regs_arg4(struct pt_regs *regs)
{
	return regs->regs[3];
}

static __always_inline __u64 regs_arg5(struct pt_regs *regs)
{
	return regs->regs[4];
}

static __always_inline __u64 function_arg(struct pt_regs *regs, __u32 n)
{
	switch (n) {
	case 0:
		return regs->regs[0];
	case 1:
		return regs->regs[1];
	case 2:
		return regs->regs[2];
	case 3:
		return regs->regs[3];
	}
	return regs->regs[4];
}

static __always_inline __u64 function_result(struct pt_regs *regs)
{
	return regs->regs[0];
}
#else
#error "system call numbers of this architecture are missing here"
#endif

/* Registers of the system call that a task is in. bpf_task_pt_regs: 5.15, dd6e10fbd9fb. */
static __always_inline struct pt_regs *task_regs(struct task_struct *task)
{
	return (struct pt_regs *)bpf_task_pt_regs(task);
}

/*
 * The system call that a task is in. A thread of io_uring is in none: its registers are those of whoever made it.
 */
static __always_inline __u32 task_call(struct task_struct *task)
{
	return task->flags & PF_IO_WORKER ? CALL_NONE : regs_call(task_regs(task));
}

/* What a thread of io_uring is doing for a request. -1: nothing that can be known. */
static __always_inline int worker_opcode(struct task_struct *task)
{
	struct io_worker *worker = task->worker_private;
	struct io_wq_work *work;

	work = worker ? BPF_CORE_READ(worker, cur_work) : 0;
	if (!work)
		return -1;
	return BPF_CORE_READ((struct io_kiocb *)((void *)work - bpf_core_field_offset(struct io_kiocb, work)), opcode);
}

/* Calls that may sleep and whose entry we want to know. */
static __always_inline int call_waits(__u32 nr)
{
	switch (nr) {
	case NR_READ:
	case NR_READV:
	case NR_RECVFROM:
	case NR_RECVMSG:
	case NR_RECVMMSG:
	case NR_ACCEPT:
	case NR_ACCEPT4:
	case NR_WAIT4:
	case NR_WAITID:
		return 1;
	}
	return 0;
}

/* Did the program ask for its port? A plain field in newer kernels, four bits of one in older. */
static __always_inline int port_is_chosen(struct sock *sk)
{
	return BPF_CORE_READ_BITFIELD_PROBED(sk, sk_userlocks) & BIND_PORT_LOCK;
}

/*
 * Results that tell the program to try again: no event. -512 to -516: the kernel's own restart
 * codes.
 */
static __always_inline int is_retry(int result)
{
	return result == -4 || result == -11 || (result <= -512 && result >= -516);
}

#endif
