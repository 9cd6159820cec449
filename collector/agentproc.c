/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See agentproc.h. */
#include "collector/agentproc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"

enum { SHOWN_MAX = 64 << 10 };

static bool is_program(const char *path)
{
	return access(path, X_OK) == 0;
}

int agentproc_find(char ret_path[PATH_MAX], struct error *e)
{
	const char *search = getenv("PATH"), *end;
	char self[PATH_MAX - 8], path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	self[n > 0 ? n : 0] = '\0';
	slash = strrchr(self, '/');
	if (slash) {
		*slash = '\0';
		snprintf(path, sizeof(path), "%s/tfj", self);
		if (is_program(path))
			goto found;
	}
	for (; search && *search; search = *end ? end + 1 : end) {
		end = strchrnul(search, ':');
		if (snprintf(path, sizeof(path), "%.*s/tfj", (int)(end - search), search) < (int)sizeof(path) &&
		    *path == '/' && is_program(path))
			goto found;
	}
	return error_set(e, -ENOENT, "the agent tfj is neither beside bop (%s) nor in PATH: install both together",
			 slash ? self : "?");
found:
	strcpy(ret_path, path);
	return 0;
}

static void child_exec(const char *path, char *const arguments[], int log)
{
	struct sigaction act = { .sa_handler = SIG_DFL };
	sigset_t none;
	int null = open("/dev/null", O_RDONLY);

	for (int i = 1; i < NSIG; i++)
		sigaction(i, &act, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (null >= 0)
		dup2(null, 0);
	dup2(log, 1);
	dup2(log, 2);
	close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	execv(path, arguments);
	dprintf(2, "tfj: cannot execute %s: %s\n", path, strerror(errno));
	_exit(127);
}

int agentproc_start(struct agentproc *agent, const char *path, char *const arguments[], struct error *e)
{
	int err = 0;

	*agent = (struct agentproc)AGENTPROC_NONE;
	agent->log = memfd_create("tfj-output", MFD_CLOEXEC);
	if (agent->log < 0 || fcntl(agent->log, F_SETFL, O_APPEND) < 0) {
		err = error_set(e, -errno, "cannot start %s: %s", path, strerror(errno));
		goto out;
	}
	agent->pid = fork();
	if (!agent->pid)
		child_exec(path, arguments, agent->log);
	if (agent->pid < 0) {
		agent->pid = 0;
		err = error_set(e, -errno, "cannot start %s: %s", path, strerror(errno));
		goto out;
	}
	agent->pidfd = (int)syscall(SYS_pidfd_open, agent->pid, 0);
	if (agent->pidfd < 0)
		err = error_set(e, -errno, "cannot watch %s: %s (Linux 5.3 or newer is needed)", path, strerror(errno));
out:
	if (err < 0)
		agentproc_close(agent, true);
	return err;
}

bool agentproc_wait(struct agentproc *agent, uint64_t timeout_ns)
{
	struct pollfd item = { .fd = agent->pidfd, .events = POLLIN };
	uint64_t deadline = clock_monotonic_ns() + timeout_ns, now;

	if (!agent->pid || agent->ended)
		return true;
	while (waitpid(agent->pid, &agent->status, WNOHANG) == 0) {
		now = clock_monotonic_ns();
		if (now >= deadline)
			return false;
		poll(&item, 1, (int)((deadline - now + 999999) / 1000000));
	}
	agent->ended = true;
	return true;
}

static void log_repeat(int log)
{
	char buf[4096];
	off_t at = 0;
	ssize_t n;

	while (at < SHOWN_MAX && (n = pread(log, buf, sizeof(buf), at)) > 0) {
		fwrite(buf, 1, (size_t)n, stderr);
		at += n;
	}
}

void agentproc_close(struct agentproc *agent, bool quiet)
{
	if (agent->pid && !agent->ended) {
		kill(agent->pid, SIGKILL);
		waitpid(agent->pid, &agent->status, 0);
	}
	if (agent->log >= 0 && !quiet)
		log_repeat(agent->log);
	if (agent->pidfd >= 0)
		close(agent->pidfd);
	if (agent->log >= 0)
		close(agent->log);
	*agent = (struct agentproc)AGENTPROC_NONE;
}

void agentproc_last_line(const struct agentproc *agent, char *buf, size_t size)
{
	char tail[1024], *line;
	off_t end = agent->log >= 0 ? lseek(agent->log, 0, SEEK_END) : 0;
	off_t from = end > (off_t)sizeof(tail) - 1 ? end - (off_t)sizeof(tail) + 1 : 0;
	ssize_t n = end > 0 ? pread(agent->log, tail, sizeof(tail) - 1, from) : 0;

	while (n > 0 && tail[n - 1] == '\n')
		n--;
	tail[n > 0 ? n : 0] = '\0';
	line = strrchr(tail, '\n');
	line = line ? line + 1 : tail;
	if (!strncmp(line, "tfj: ", 5))
		line += 5;
	snprintf(buf, size, "%s", line);
}

int agentproc_clean(const char *path, struct error *e)
{
	char *arguments[] = { "tfj", "clean", NULL };
	struct agentproc agent;
	char how[64], line[256];
	int err;

	err = agentproc_start(&agent, path, arguments, e);
	if (err < 0)
		return err;
	if (!agentproc_wait(&agent, 20 * 1000000000ull)) {
		err = error_set(e, -ETIMEDOUT, "`tfj clean` did not end in 20 s; run it again by hand");
	} else if (agent.status) {
		status_text(agent.status, how, sizeof(how));
		agentproc_last_line(&agent, line, sizeof(line));
		err = error_set(e, -EIO, "`tfj clean` failed (%s)%s%s; run it again by hand", how, *line ? ": " : "", line);
	}
	agentproc_close(&agent, true);
	return err;
}

void status_text(int status, char *buf, size_t size)
{
	const char *name;

	if (WIFSIGNALED(status)) {
		name = sigabbrev_np(WTERMSIG(status));
		snprintf(buf, size, "signal %d%s%s%s", WTERMSIG(status), name ? " (SIG" : "", name ? name : "",
			 name ? ")" : "");
	} else {
		snprintf(buf, size, "exit status %d", WEXITSTATUS(status));
	}
}
