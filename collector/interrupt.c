/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See interrupt.h. */
#include "collector/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "lib/clock.h"

int interrupt_open(struct interrupt *interrupt, struct error *e)
{
	struct sigaction hangup;
	sigset_t set;

	*interrupt = (struct interrupt)INTERRUPT_NONE;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN) /* nohup means it */
		sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	interrupt->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return interrupt->fd < 0 ? error_set(e, -errno, "signalfd: %s", strerror(errno)) : 0;
}

void interrupt_close(struct interrupt *interrupt)
{
	if (interrupt->fd >= 0)
		close(interrupt->fd);
	interrupt->fd = -1;
}

void interrupt_read(struct interrupt *interrupt)
{
	struct signalfd_siginfo info;
	uint64_t now = clock_monotonic_ns();

	while (read(interrupt->fd, &info, sizeof(info)) == sizeof(info)) {
		if (interrupt->n && now - interrupt->last_ns < INTERRUPT_BLINK_NS)
			continue;
		interrupt->n++;
		interrupt->last_ns = now;
	}
}
