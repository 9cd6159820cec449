/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What an experiment file says of things that are there before the run: the network namespace of a box, and which process is
 * to be attached. See experiment_part.h.
 */
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "collector/experiment_part.h"
#include "collector/program.h"

#define ATTACH_KEYS(X) X(pid) X(cgroup) X(executable) X(listen) X(container)
#define AS_ATTACH(key) ATTACH_##key,
#define AS_WORD(key) #key,
enum { ATTACH_KEYS(AS_ATTACH) ATTACH_COUNT };

static const char *const attach_keys[] = { ATTACH_KEYS(AS_WORD) NULL };

#define CONTAINER "container:"
#define NAME_MAX_CONTAINER 759u /* three names and what is between them */

#define PID_MAX 4194304u /* PID_MAX_LIMIT of linux/threads.h */

/* What it is called is known where it runs. */
static int read_container_name(const struct reading *r, int node, char **ret_name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-/";
	int err = yaml_string(r->yaml, node, "container", ret_name, r->e);
	size_t n = err ? 0 : strlen(*ret_name);

	if (!err && (!n || n > NAME_MAX_CONTAINER || strspn(*ret_name, letters) != n))
		err = yaml_refuse(r->yaml, node, r->e, "container must be the id or the name of one, or NAMESPACE/POD/NAME; `tfj containers` lists "
				  "them");
	return err;
}

int read_netns(const struct reading *r, int node, const char *box, char **ret_netns)
{
	char path[4200], *given = NULL;
	struct statfs fs;
	int err;

	if (r->elsewhere)
		return yaml_refuse(r->yaml, node, r->e, "netns: with --server the agent says what its box is: start it with "
				   "tfj --box %s=NETNS", box);
	err = yaml_string(r->yaml, node, "netns", &given, r->e);
	if (err || !strchr(given, '/')) {
		*ret_netns = given;
	} else {
		err = program_absolute(r->folder, given, ret_netns) < 0 ? read_no_memory(r) : 0;
		free(given);
	}
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s%s", strchr(*ret_netns, '/') ? "" : "/run/netns/", *ret_netns);
	if (!strcmp(*ret_netns, "host"))
		return 0;
	if (statfs(path, &fs) < 0)
		return yaml_refuse(r->yaml, node, r->e, "there is no network namespace '%.100s' (%.100s: %s; `ip netns` lists them)",
				   *ret_netns, path, strerror(errno));
	return fs.f_type == NSFS_MAGIC ? 0 : yaml_refuse(r->yaml, node, r->e, "%.200s is not a network namespace", path);
}

int read_container(const struct reading *r, int node, const char *box, char **ret_netns)
{
	char *given = NULL;
	int err;

	if (r->elsewhere)
		return yaml_refuse(r->yaml, node, r->e, "container: with --server the agent says what its box is: start it with "
				   "tfj --box %s=container:NAME", box);
	err = read_container_name(r, node, &given);
	if (!err && asprintf(ret_netns, CONTAINER "%s", given) < 0) {
		*ret_netns = NULL;
		err = read_no_memory(r);
	}
	free(given);
	return err;
}

static const char *netns_of(const struct experiment *x, const char *box)
{
	for (size_t i = 0; i < x->n_boxes; i++)
		if (!strcmp(x->boxes[i], box))
			return x->netns[i];
	return NULL;
}

struct reading reading_in(const struct reading *r, const char *box)
{
	const char *netns = netns_of(r->x, box);
	struct reading in = *r;

	in.elsewhere |= netns && !strncmp(netns, CONTAINER, strlen(CONTAINER));
	return in;
}

static int read_pid(const struct reading *r, int node, uint32_t *ret_pid)
{
	char path[64];
	int err = yaml_number(r->yaml, node, "pid", 1, PID_MAX, ret_pid, r->e);

	if (err || r->elsewhere)
		return err;
	if (*ret_pid == (uint32_t)getpid())
		return yaml_refuse(r->yaml, node, r->e, "pid %u is bop itself", *ret_pid);
	snprintf(path, sizeof(path), "/proc/%u", *ret_pid);
	return access(path, F_OK) == 0 ? 0 : yaml_refuse(r->yaml, node, r->e, "there is no process %u", *ret_pid);
}

static int read_executable(const struct reading *r, int node, char **ret_path)
{
	char *given = NULL;
	int err = yaml_string(r->yaml, node, "executable", &given, r->e);

	if (!err && !strchr(given, '/'))
		err = yaml_refuse(r->yaml, node, r->e, "executable must be the path of a program, like /usr/bin/%.60s", given);
	if (!err && program_absolute(r->folder, given, ret_path) < 0)
		err = read_no_memory(r);
	if (!err && !r->elsewhere && access(*ret_path, F_OK) < 0)
		err = yaml_refuse(r->yaml, node, r->e, "program '%.200s' does not exist", *ret_path);
	free(given);
	return err;
}

static int read_cgroup(const struct reading *r, int node, char **ret_cgroup)
{
	int err = yaml_string(r->yaml, node, "cgroup", ret_cgroup, r->e);

	if (!err && **ret_cgroup != '/')
		err = yaml_refuse(r->yaml, node, r->e, "cgroup must be spelled as /proc/PID/cgroup shows it, like /system.slice/redis.service, "
				  "or with /sys/fs/cgroup in front");
	return err;
}

/* "by pid 12": what stands for a command line until the process is known. */
static int describe(const struct reading *r, struct experiment_attach *attach)
{
	int n;

	if (attach->pid)
		n = asprintf(&attach->text, "(attached by pid %u)", attach->pid);
	else if (attach->container)
		n = asprintf(&attach->text, "(attached: container %s)", attach->container);
	else if (attach->port)
		n = asprintf(&attach->text, "(attached by listening port %u)", attach->port);
	else
		n = asprintf(&attach->text, "(attached by %s %s)", attach->cgroup ? "cgroup" : "executable",
			     attach->cgroup ? attach->cgroup : attach->executable);
	if (n < 0)
		attach->text = NULL;
	return n < 0 ? read_no_memory(r) : 0;
}

int read_attach(const struct reading *r, int node, const char *box, struct experiment_attach **ret_attach)
{
	int v[ATTACH_COUNT] = { 0 }, given = 0;
	struct experiment_attach *attach = calloc(1, sizeof(*attach));
	int err = attach ? yaml_record(r->yaml, node, "attach", attach_keys, v, r->e) : read_no_memory(r);

	*ret_attach = attach;
	for (int i = 0; i < ATTACH_COUNT; i++)
		given += !!v[i];
	if (!err && given != 1)
		err = yaml_refuse(r->yaml, node, r->e, "attach must say which process by one of pid, cgroup, executable, listen and container%s",
				  given ? ", not by several" : "");
	if (!err && !r->elsewhere && !netns_of(r->x, box))
		err = yaml_refuse(r->yaml, node, r->e, "box '%s' is made for the run, so nothing runs in it before: give it a network "
				  "namespace that is there, as {name: %s, netns: NAME} or {name: %s, container: NAME}", box, box, box);
	if (!err && yaml_place(r->yaml, node, &attach->place) < 0)
		err = read_no_memory(r);
	if (!err && v[ATTACH_pid])
		err = read_pid(r, v[ATTACH_pid], &attach->pid);
	if (!err && v[ATTACH_cgroup])
		err = read_cgroup(r, v[ATTACH_cgroup], &attach->cgroup);
	if (!err && v[ATTACH_executable])
		err = read_executable(r, v[ATTACH_executable], &attach->executable);
	if (!err && v[ATTACH_listen])
		err = yaml_number(r->yaml, v[ATTACH_listen], "listen", 1, 65535, &attach->port, r->e);
	if (!err && v[ATTACH_container])
		err = read_container_name(r, v[ATTACH_container], &attach->container);
	return err ? err : describe(r, attach);
}

void attach_free(struct experiment_attach *attach)
{
	if (!attach)
		return;
	free(attach->cgroup);
	free(attach->executable);
	free(attach->container);
	free(attach->place);
	free(attach->text);
	free(attach);
}
