/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See netns.h. */
#include "tfj/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

int netns_own(void)
{
	int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	return own < 0 ? -errno : own;
}

int netns_enter(int netns)
{
	int home = netns_own(), err;

	if (home < 0 || setns(netns, CLONE_NEWNET) == 0)
		return home;
	err = -errno;
	close(home);
	return err;
}

int netns_leave(int home)
{
	int err = setns(home, CLONE_NEWNET) < 0 ? -errno : 0;

	close(home);
	return err;
}
