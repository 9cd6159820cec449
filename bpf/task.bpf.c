// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Life of tasks, the same for every backend: whoever a traced task makes is traced, in its box. Ignored tasks make ignored
 * ones. The result of wait is seen in call.bpf.h.
 */
#include "bpf/exec.bpf.h"
#include "bpf/fault.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * EXIT comes before the process's sockets are closed, but is its last event: this far above all
 * others.
 */
#define ORDER_EXIT (1ULL << 48)
/*
 * exec by another thread than the first drops the counters with the first one's task: so far ahead
 * goes the rest.
 */
#define ORDER_EXEC (1ULL << 32)

SEC("tp_btf/task_newtask")
int BPF_PROG(on_newtask, struct task_struct *child, __u64 clone_flags)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state = task_find(task), *process, *made;
	struct rec_fork *record;
	__u64 order, now;
	__u32 ordinal;
	int thread = child->pid != child->tgid;

	if (!state || task_find(child)) /* found already, by follow.bpf.c */
		return 0;
	made = task_create(child, state->seed.box, state->seed.ignored);
	if (!made || state->seed.ignored)
		return 0;
	process = process_find(task, state);
	ordinal = task_number(child, process);
	made->seed.label = thread ? state->seed.label : fault_label_child(state->seed.label, ordinal);
	if (faults_on() && !thread)
		fault_started(made->seed.label, 1);
	order = order_draw(task, state);
	now = bpf_ktime_get_ns();
	record = record_reserve(sizeof(*record), REC_FORK, thread ? REC_F_GROUP : 0,
				state->seed.box, order, now, now, task);
	if (!record)
		return 0;
	record->child_tgid = child->tgid;
	record->child_tid = child->pid;
	record->ordinal = ordinal;
	record->clone_flags = clone_flags;
	record_submit(record);
	return 0;
}

/* The last moment at which the first thread's counters can be had. 6.11, 5c5fad46e48c. */
SEC("tp_btf/sched_prepare_exec")
int BPF_PROG(on_prepare_exec, struct task_struct *task, struct linux_binprm *bprm)
{
	return exec_prepared(task);
}

/* Not part of its caller, whose other calls would find no room on the stack beside a path. */
static __noinline int exec_told(struct task_struct *task, struct task_state *state, const char *path)
{
	if (state)
		exec_emit(task, state, REC_EXEC, path);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct task_state *state = task_find(task);

	if (!state || state->seed.ignored)
		return 0;
	if (old_pid != task->pid)
		state->order = state->last_order + ORDER_EXEC;
	state->sleep_ns = 0;
	exec_told(task, state, bprm->filename);
	return faults_on() ? fault_started(state->seed.label, 0) : 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	struct task_state *state = task_find(task), *process;
	struct signal_struct *signal = task->signal;
	int all = signal->flags & SIGNAL_GROUP_EXIT;
	__u32 status = task->exit_code;
	struct rec_exit *record;
	__u64 order, now;
	__u16 flags = 0;

	if (!state || state->seed.ignored)
		return 0;
	process = process_find(task, state);
	/* several threads may see that none is left; the first of them speaks */
	if (signal->live.counter == 0 && __sync_fetch_and_add(&process->exited, 1) == 0) {
		flags = REC_F_GROUP;
		status = all ? signal->group_exit_code : task->group_leader->exit_code;
	}
	order = order_draw(task, state);
	if (flags || all)
		order += ORDER_EXIT;
	if (flags) /* another thread may have seen the same and draws later */
		order += ORDER_EXIT;
	now = bpf_ktime_get_ns();
	record = record_reserve(sizeof(*record), REC_EXIT, flags, state->seed.box, order, now, now,
				task);
	if (!record)
		return 0;
	record->status = status;
	record->unused = 0;
	record_submit(record);
	return faults_on() && flags ? fault_moment_of(state->seed.label, RULE_EXIT, 0) : 0;
}

/*
 * When a call that waits really had to: the entry of a call costs every process, going to sleep
 * only those that do.
 */
SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, _Bool preempted, struct task_struct *task, struct task_struct *next,
	     unsigned int why)
{
	struct task_state *state;
	struct pt_regs *regs;
	__u32 call, fd;

	/* a task that could run, or was stopped, may be on its way out of the call already */
	if (preempted || !(why & (TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE)))
		return 0;
	state = task_find(task);
	if (!state)
		return 0;
	regs = task_regs(task);
	call = task_call(task);
	if (!call_waits(call))
		return 0;
	fd = regs_arg1(regs);
	if (state->sleep_ns && state->sleep_call == call && state->sleep_fd == fd)
		return 0; /* slept in this call before */
	state->sleep_ns = bpf_ktime_get_ns();
	state->sleep_call = call;
	state->sleep_fd = fd;
	return 0;
}
