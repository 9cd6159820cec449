/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A private cgroup root, boxes, and programs run in them to their end. Included by one Check program each. */
#ifndef TESTS_KERNEL_INBOX_H
#define TESTS_KERNEL_INBOX_H

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/claim.h"
#include "tests/scratch.h"
#include "tfj/box.h"
#include "tfj/cgroup.h"
#include "tfj/output.h"
#include "tfj/spawn.h"

#define unused_ok __attribute__((unused))

static struct claim inbox_root; /* a cgroup of this test alone */
static char inbox_base[64];	/* BOP_TMPDIR of this test alone */
static char inbox_hosts[128], inbox_resolv[128];

static char *const two_boxes[] = { "s1", "s2", NULL };
static char *const plain_environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "WORD=yes", NULL };

static int inbox_reclaim(struct claim *claim, void *arg)
{
	unsigned killed;

	return cgroup_reclaim(claim, &killed);
}

/* First takes away what tests that were killed have left in the tree of cgroups. */
static void unused_ok inbox_setup(void)
{
	struct claim mount;
	struct error e = { "" };
	char root[200];

	scratch_name(inbox_base, sizeof(inbox_base), "test-bop-inbox.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(inbox_base));
	chmod(inbox_base, 0755);
	setenv("BOP_TMPDIR", inbox_base, 1);
	ck_assert_msg(cgroup_find_root(root, sizeof(root), &mount, &e) == 0, "%s", e.text);
	claim_sweep(root, "test", inbox_reclaim, NULL, &e);
	ck_assert_msg(claim_open(&inbox_root, root, "test", NULL, 0755, &e) == 0, "%s", e.text);
	snprintf(inbox_hosts, sizeof(inbox_hosts), "%s/hosts", inbox_base);
	snprintf(inbox_resolv, sizeof(inbox_resolv), "%s/resolv.conf", inbox_base);
}

static void unused_ok inbox_teardown(void)
{
	ck_assert_int_eq(claim_remove_tree(inbox_base), 0);
	ck_assert_msg(rmdir(inbox_root.path) == 0, "%s is still in use", inbox_root.path);
	claim_close(&inbox_root);
}

/* A child that dies with the test, if that is killed: it holds the test's claim as long as it lives. */
static pid_t unused_ok inbox_fork(void)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static int unused_ok open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static unused_ok int socket_in(const struct box *box)
{
	int fd;

	ck_assert_int_eq(setns(box->netns, CLONE_NEWNET), 0);
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	return fd;
}

/* Listens there, for both versions of IP. What is to be connected to is ret_address, with an address of the box in it. */
static unused_ok int listener_in(const struct box *box, struct sockaddr_in6 *ret_address)
{
	int fd = socket_in(box), only = 0;
	socklen_t len = sizeof(*ret_address);

	*ret_address = (struct sockaddr_in6){ .sin6_family = AF_INET6 };
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)ret_address, len), 0);
	ck_assert_int_eq(listen(fd, 4), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)ret_address, &len), 0);
	return fd;
}

static unused_ok struct boxes *boxes_make(char *const *names)
{
	struct boxes *boxes = NULL;
	struct error e = { "" };
	char *hosts;

	ck_assert_msg(boxes_open(names, &boxes, &e) == 0, "%s", e.text);
	hosts = boxes_hosts(boxes);
	ck_assert_ptr_nonnull(hosts);
	write_file(inbox_hosts, hosts);
	write_file(inbox_resolv, "");
	free(hosts);
	return boxes;
}

/* What a start of argv in box needs; change it before use. */
static unused_ok struct spawn_spec inbox_spec(const struct box *box, const struct cgroup *cgroup, char *const *argv)
{
	return (struct spawn_spec){
		.host = box->name,
		.netns = box->netns,
		.cgroup = cgroup->claim.fd,
		.hosts = inbox_hosts,
		.resolv = inbox_resolv,
		.argv = argv,
		.environment = plain_environment,
		.user = "",
		.directory = inbox_base,
		.one_pipe = 1,
	};
}

/* Starts it and waits until exec is known to have worked or not. */
static int unused_ok inbox_start(const struct spawn_spec *spec, struct spawn *spawn, struct error *e)
{
	struct pollfd wait;
	int err = spawn_prepare(spec, spawn, e);

	if (err)
		return err;
	ck_assert_int_eq(spawn_go(spawn), 0);
	wait = (struct pollfd){ .fd = spawn->failure, .events = POLLIN };
	while ((err = spawn_result(spawn, spec->argv[0], e)) == -EAGAIN)
		poll(&wait, 1, -1);
	return err;
}

/* Runs it to its end: its output (terminated) and its wait status. */
static int unused_ok inbox_run(const struct spawn_spec *spec, char *output, size_t size)
{
	struct spawn spawn = SPAWN_NONE;
	struct error e = { "" };
	struct pollfd wait;
	size_t n = 0;
	ssize_t got;
	int status;

	ck_assert_msg(inbox_start(spec, &spawn, &e) == 0, "%s", e.text);
	wait = (struct pollfd){ .fd = spawn.out, .events = POLLIN };
	while (poll(&wait, 1, -1) > 0 && (got = read(spawn.out, output + n, size - 1 - n)) > 0)
		n += got;
	output[n] = '\0';
	ck_assert_int_eq(waitpid(spawn.pid, &status, 0), spawn.pid);
	spawn_close(&spawn);
	return status;
}

static int unused_ok inbox_shell(const struct box *box, const struct cgroup *cgroup, const char *script, char *output,
				 size_t size)
{
	char *const argv[] = { "sh", "-c", (char *)script, NULL };
	struct spawn_spec spec = inbox_spec(box, cgroup, argv);

	return inbox_run(&spec, output, size);
}

static int unused_ok inbox_main(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	if (geteuid() != 0) {
		puts("1..0 # SKIP needs root");
		return 0;
	}
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}

#endif
