/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which kinds of faults work here, and by what. Tried, never looked up. */
#include "tfj/failing.h"
#include "tfj/inject.h"
#include "tfj/shape.h"

bool inject_in_kernel(enum fault_kind kind)
{
	return kind != FAULT_RATE && kind != FAULT_REORDER && kind != FAULT_RESTART && kind != FAULT_FAIL;
}

int inject_able(struct tracer *tracer, enum fault_kind kind, struct error *e)
{
	switch (kind) {
	case FAULT_CUT:
	case FAULT_DROP:
	case FAULT_HOLD:
	case FAULT_RESET:
	case FAULT_REFUSE:
	case FAULT_PARTITION:
	case FAULT_ISOLATE:
	case FAULT_CRASH:
	case FAULT_CRASH_BOX:
	case FAULT_PAUSE:
	case FAULT_LOSS:
	case FAULT_CORRUPT:
	case FAULT_DUPLICATE:
		return faults_able(tracer, kind, e);
	case FAULT_REORDER:
		return shape_able(1, e);
	case FAULT_RATE:
		return shape_able(0, e);
	case FAULT_FAIL:
		return failing_able(e);
	case FAULT_RESTART:
	case FAULT_NONE:
	case FAULT_KIND_COUNT:
		break;
	}
	return 0;
}

const char *inject_served(enum fault_kind kind)
{
	switch (kind) {
	case FAULT_CUT:
	case FAULT_DROP:
	case FAULT_HOLD:
	case FAULT_RESET:
		return "rules at the entry of the send, programs at the packets of the boxes";
	case FAULT_REFUSE:
	case FAULT_PARTITION:
	case FAULT_ISOLATE:
	case FAULT_LOSS:
	case FAULT_CORRUPT:
	case FAULT_DUPLICATE:
		return "programs at the packets of the boxes";
	case FAULT_CRASH:
		return "SIGKILL by the kernel in the process's own call";
	case FAULT_CRASH_BOX:
		return "programs at the packets of the box, and the box's cgroup";
	case FAULT_RESTART:
		return "the agent";
	case FAULT_PAUSE:
		return "SIGSTOP by the kernel in the process's own call, SIGCONT by the agent or its guardian";
	case FAULT_REORDER:
		return "the queue netem, on devices that the agent makes";
	case FAULT_RATE:
		return "the queue htb, on devices that the agent makes";
	case FAULT_FAIL:
		return "a seccomp filter, from the program's start on";
	case FAULT_NONE:
	case FAULT_KIND_COUNT:
		break;
	}
	return "";
}
