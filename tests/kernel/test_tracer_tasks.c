/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tasks: what the lives of processes and threads look like. */
#include "tests/kernel/world_check.h"

/* --- exit statuses, wait, threads --- */

struct lives {
	pid_t three, killed, threads, stopped, pthread_exits, by_signal;
	int status[6];
};

static void *pause_main(void *arg)
{
	pause();
	return NULL;
}

static void *count_main(void *arg)
{
	return NULL;
}

static void *end_main(void *arg)
{
	syscall(SYS_exit, 0);
	return NULL;
}

static void *exit_main(void *arg)
{
	_exit(7);
}

static void many_threads_then(void *(*last)(void *))
{
	pthread_t t;

	for (int i = 0; i < 3; i++)
		must(!pthread_create(&t, NULL, pause_main, NULL));
	must(!pthread_create(&t, NULL, last, NULL));
	pause();
}

static int lives_and_deaths(void *shared)
{
	struct lives *lives = shared;
	int stopped;
	pthread_t t;
	siginfo_t info;
	pid_t pid;

	pid = fork();
	if (!pid)
		_exit(3);
	lives->three = pid;
	must(waitpid(pid, &lives->status[0], 0) == pid);
	pid = fork();
	if (!pid)
		for (;;)
			pause();
	lives->killed = pid;
	must(waitpid(pid, NULL, WNOHANG) == 0); /* nobody yet: no event */
	kill(pid, SIGKILL);
	must(!waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT)); /* only looks: no event */
	must(!waitid(P_PID, (id_t)pid, &info, WEXITED) && info.si_pid == pid);
	lives->status[1] = SIGKILL;
	pid = fork();
	if (!pid)
		many_threads_then(exit_main);
	lives->threads = pid;
	must(waitpid(pid, &lives->status[2], 0) == pid);
	pid = fork();
	if (!pid) {
		raise(SIGSTOP);
		_exit(0);
	}
	lives->stopped = pid;
	must(waitpid(pid, &stopped, WUNTRACED) == pid); /* stopped, not ended: no event */
	kill(pid, SIGCONT);
	must(wait(&lives->status[3]) == pid);
	pid = fork();
	if (!pid) { /* each thread ends alone, nobody ends the process */
		must(!pthread_create(&t, NULL, end_main, NULL));
		syscall(SYS_exit, 0);
	}
	lives->pthread_exits = pid;
	must(waitpid(pid, &lives->status[4], 0) == pid);
	pid = fork();
	if (!pid)
		many_threads_then(count_main);
	lives->by_signal = pid;
	kill(pid, SIGTERM);
	must(waitpid(pid, &lives->status[5], 0) == pid);
	return 0;
}

static void check_lives(struct world *w)
{
	const struct lives *lives = (void *)w->shared;
	const pid_t pids[] = {lives->three,   lives->killed,	    lives->threads,
			      lives->stopped, lives->pthread_exits, lives->by_signal};

	check_common(w);
	expect(w,
	       lives->status[0] == 3 << 8 && lives->status[2] == 7 << 8 && lives->status[4] == 0);
	expect(w, count_kind(w, REC_WAIT) == 6);
	for (size_t i = 0; i < 6; i++) {
		const union record *wait = find(w, REC_WAIT, i), *fork = NULL;
		int ends = 0, forks = 0;
		uint64_t highest = 0, last = 0;

		expect(w, wait && wait->wait.child_tgid == (uint32_t)pids[i] &&
				  wait->head.tgid == (uint32_t)w->root);
		for (size_t j = 0; j < w->n; j++) {
			const union record *r = &w->records[j];

			if (r->head.kind == REC_FORK && r->fork.child_tgid == (uint32_t)pids[i] &&
			    !(r->head.flags & REC_F_GROUP)) {
				fork = r;
				forks++;
			}
			if (r->head.tgid != (uint32_t)pids[i])
				continue;
			highest = r->head.order > highest ? r->head.order : highest;
			if (r->head.kind == REC_EXIT && r->head.flags & REC_F_GROUP) {
				ends++;
				last = r->head.order;
				expect(w, r->exit.status == (uint32_t)lives->status[i]);
			}
		}
		expect(w, ends == 1 && forks == 1 && last == highest);
		expect(w,
		       fork && fork->fork.ordinal == i + 1 && fork->head.tgid == (uint32_t)w->root);
	}
	for (size_t i = 0, k = 0; i < w->n;
	     i++) /* threads of one process are counted in their order */
		if (w->records[i].head.kind == REC_FORK &&
		    w->records[i].head.tgid == (uint32_t)lives->threads)
			expect(w, w->records[i].fork.ordinal == ++k &&
					  w->records[i].head.flags == REC_F_GROUP);
}

/* --- exec --- */

static void *exec_main(void *arg)
{
	execl("/bin/sh", "sh", "-c", "/bin/true; exit 5", NULL);
	_exit(97);
}

static int execs(void *shared)
{
	pid_t *pids = shared, pid;
	pthread_t t;
	int status;

	pid = fork();
	if (!pid) {
		execl("/bin/true", "true", NULL);
		_exit(97);
	}
	pids[0] = pid;
	child_reap(pid, 0);
	pid = fork();
	if (!pid) { /* a thread other than the first executes, after the process has made a child */
		if (!fork())
			_exit(0);
		must(wait(&status) > 0);
		must(!pthread_create(&t, NULL, exec_main, NULL));
		pthread_join(t, NULL);
	}
	pids[1] = pid;
	child_reap(pid, 5 << 8);
	return 0;
}

static void check_execs(struct world *w)
{
	const pid_t *pids = (void *)w->shared;
	const union record *one = NULL, *two = NULL;
	uint32_t ordinal = 0;

	check_common(w);
	for (size_t i = 0; i < w->n; i++) {
		const union record *r = &w->records[i];

		if (r->head.kind == REC_EXEC && r->head.tgid == (uint32_t)pids[0])
			one = r;
		if (r->head.kind == REC_EXEC && r->head.tgid == (uint32_t)pids[1])
			two = r;
		if (r->head.kind == REC_FORK && r->head.tgid == (uint32_t)pids[1] &&
		    !(r->head.flags & REC_F_GROUP))
			expect(w, r->fork.ordinal == ++ordinal); /* goes on through the exec */
	}
	if (!expect(w, one && two))
		return;
	expect(w, !strcmp(one->exec.name, "/bin/true") && !strcmp(one->exec.comm, "true"));
	expect(w, one->exec.parent_tgid == (uint32_t)w->root);
	expect(w, !strcmp(two->exec.name, "/bin/sh") && two->head.tid == (uint32_t)pids[1]);
	expect(w, ordinal >= 1);
}

/* A path longer than a record keeps its end. */
static int exec_long(void *shared)
{
	char path[200], *at = path;
	pid_t pid = fork();

	for (int i = 0; i < 60; i++)
		*at++ = i % 2 ? '.' : '/';
	strcpy(at, "/bin/true");
	if (!pid) {
		execl(path, "true", NULL);
		_exit(97);
	}
	child_reap(pid, 0);
	strcpy(shared, path);
	return 0;
}

static void check_long(struct world *w)
{
	const union record *exec = find(w, REC_EXEC, 0);
	const char *path = (const char *)w->shared;

	expect(w, exec && !strcmp(exec->exec.name, path + strlen(path) - (REC_NAME_MAX - 1)));
}

int main(void)
{
	int status;
	struct world *w = world_new(&status);

	if (!w)
		return status;
	WORLD_TEST(w, status, lives_and_deaths, check_lives(w), "exit statuses are those that wait shows, one end a process");
	WORLD_TEST(w, status, execs, check_execs(w), "exec by any thread, orders and ordinals go on");
	WORLD_TEST(w, status, exec_long, check_long(w), "a long path keeps its end");
	world_free(w);
	return !!status;
}
