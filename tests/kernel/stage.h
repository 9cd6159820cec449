/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two boxes, and a cgroup for the programs that a test runs in them. Included by one Check program each. */
#ifndef TESTS_KERNEL_STAGE_H
#define TESTS_KERNEL_STAGE_H

#include "tests/kernel/inbox.h"

static struct boxes *boxes;
static struct cgroup cgroup;

static void stage_open(void)
{
	struct error e = { "" };

	inbox_setup();
	boxes = boxes_make(two_boxes);
	ck_assert_msg(cgroup_open(&cgroup, inbox_root.path, &e) == 0, "%s", e.text);
}

/* Nobody is left in it, and nothing can be started there any more. */
static void stage_clear(void)
{
	ck_assert_int_eq(cgroup_kill(&cgroup), 0);
	ck_assert_int_eq(cgroup_wait_empty(&cgroup, 10000), 0);
}

static void stage_close(void)
{
	stage_clear();
	ck_assert_int_eq(cgroup_remove(&cgroup), 0);
	boxes_close(boxes);
	inbox_teardown();
}

#endif
