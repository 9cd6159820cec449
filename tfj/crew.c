/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See crew.h. A start that fails leaves no member; a traced member is kept until crew_free, an untraced one until it has
 * ended.
 *
 * Descriptors leave the epoll set before they are closed: a child that has not executed its program yet holds copies, and
 * as long as those live the set would go on telling about members that are gone.
 */
#include "tfj/crew.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tfj/enter.h"
#include "tfj/label.h"
#include "tfj/output.h"
#include "tfj/spawn.h"
#include "tfj/start.h"

enum { COMMAND_MAX = 4096, NAME_MAX_LENGTH = 128 };

enum watch_kind { WATCH_FAILURE, WATCH_OUT, WATCH_ERR };

struct member;

struct watch {
	struct member *member;
	enum watch_kind kind;
};

struct member {
	struct member *next;
	struct message_start start; /* how it was started */
	uint64_t order; /* whose reply is owed while spawn.failure is open */
	struct spawn spawn;
	struct output out, err;
	struct watch watches[3];
	uint32_t process; /* index, 0 untraced */
	uint32_t ready_port;
	bool ended, failed;
};

struct crew {
	struct crew_place place;
	struct crew_events events;
	struct member *members;
	char *directory;  /* of the run: place.directory */
	int *cgroups;	  /* of each box: where its programs are, one below that of the run; -1: none yet */
	unsigned n_cgroups; /* that there ever were */
};

struct crew *crew_new(const struct crew_place *place, const struct crew_events *events)
{
	struct crew *crew = calloc(1, sizeof(*crew));

	if (!crew)
		return NULL;
	crew->place = *place;
	crew->events = *events;
	crew->cgroups = calloc(place->boxes->n + 1, sizeof(*crew->cgroups));
	crew->place.directory = crew->directory = strdup(place->directory);
	if (!crew->cgroups || !crew->directory) {
		free(crew->cgroups);
		free(crew->directory);
		free(crew);
		return NULL;
	}
	for (size_t i = 0; i < place->boxes->n; i++)
		crew->cgroups[i] = -1;
	return crew;
}

/* Made when the first program of that box is started. */
static int cgroup_of(struct crew *crew, uint32_t box, struct error *e)
{
	char name[32];
	int err;

	if (crew->cgroups[box - 1] >= 0)
		return 0;
	snprintf(name, sizeof(name), "box.%u", ++crew->n_cgroups);
	err = cgroup_below(crew->place.cgroup, name, &crew->cgroups[box - 1]);
	return err ? error_set(e, err, "cannot make a cgroup for a box: %s", strerror(-err)) : 0;
}

static void cgroup_drop(struct crew *crew, uint32_t box)
{
	if (crew->cgroups[box - 1] >= 0)
		close(crew->cgroups[box - 1]);
	crew->cgroups[box - 1] = -1;
}

/* One that was killed is not used again: some kernels would kill what starts there, too. */
int crew_kill_box(struct crew *crew, uint32_t box)
{
	int err = 0;

	if (crew->cgroups[box - 1] >= 0)
		err = cgroup_kill_at(crew->cgroups[box - 1]);
	cgroup_drop(crew, box);
	return err;
}

static void unwatch(const struct crew *crew, int fd)
{
	if (fd >= 0)
		epoll_ctl(crew->place.epoll, EPOLL_CTL_DEL, fd, NULL);
}

static void pipe_close(const struct crew *crew, struct output *output)
{
	unwatch(crew, output->fd);
	output_close(output);
}

static void member_free(const struct crew *crew, struct member *member)
{
	unwatch(crew, member->spawn.failure);
	pipe_close(crew, &member->out);
	pipe_close(crew, &member->err);
	spawn_close(&member->spawn);
	output_fini(&member->out);
	output_fini(&member->err);
	start_fini(&member->start);
	free(member);
}

void crew_free(struct crew *crew)
{
	struct member *member;

	if (!crew)
		return;
	while ((member = crew->members)) {
		crew->members = member->next;
		member_free(crew, member);
	}
	for (size_t i = 0; i < crew->place.boxes->n; i++)
		cgroup_drop(crew, i + 1);
	free(crew->cgroups);
	free(crew->directory);
	free(crew);
}

static struct member *member_find(const struct crew *crew, const char *name)
{
	for (struct member *member = crew->members; member; member = member->next)
		if (!member->ended && !member->failed && !strcmp(member->start.name, name))
			return member;
	return NULL;
}

/* The arguments, separated by blanks, cut where it gets long. */
static char *command_text(char *const *argv)
{
	char *text = calloc(1, COMMAND_MAX + 1);
	size_t at = 0;

	for (size_t i = 0; text && argv[i] && at < COMMAND_MAX; i++)
		at += snprintf(text + at, COMMAND_MAX + 1 - at, "%s%s", i ? " " : "", argv[i]);
	return text;
}

/* Nothing in it may look like one of `separators`. */
static int word_check(const char *name, const char *separators, struct error *e)
{
	for (const char *p = name; *p; p++)
		if (*p < ' ' || *p >= 0x7f || strchr(separators, *p))
			return error_set(e, -EINVAL, "'%s' cannot be the name of a process: use letters, digits, '-' and '_'", name);
	return strlen(name) <= NAME_MAX_LENGTH ?
		       0 :
		       error_set(e, -EINVAL, "the name of a process is at most %d long", NAME_MAX_LENGTH);
}

int process_name_check(const char *name, struct error *e)
{
	return *name ? word_check(name, " >#/:<~'?", e) : error_set(e, -EINVAL, "a process needs a name");
}

static int name_check(const struct message_start *start, struct error *e)
{
	if (!*start->name || !start->argv[0])
		return error_set(e, -EINVAL, "a process needs a name and a program");
	return start->untraced ? word_check(start->name, "", e) : process_name_check(start->name, e);
}

static int watch(struct crew *crew, struct member *member, enum watch_kind kind, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (fd < 0)
		return 0;
	member->watches[kind] = (struct watch){ member, kind };
	event.data.ptr = &member->watches[kind];
	return epoll_ctl(crew->place.epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* Makes the program known to the tracer and to the names, before its first instruction. */
static int member_announce(struct crew *crew, struct member *member, const struct message_start *start, uint32_t box,
			   uint64_t now_ns, struct error *e)
{
	const struct crew_place *place = &crew->place;
	const char *label;
	char *command;

	if (start->untraced)
		return tracer_ignore_task(place->tracer, member->spawn.pidfd, e);
	command = command_text(start->argv);
	if (command)
		member->process = names_root(place->names, start->name, box, (uint32_t)member->spawn.pid, command);
	free(command);
	if (!member->process)
		return error_set(e, -ENOMEM, "out of memory");
	names_start(place->names, member->process, now_ns);
	label = place->stream->part.processes[member->process].name;
	return tracer_add_process(place->tracer, member->spawn.pidfd, place->box_base + box, label_number(label), e);
}

static struct member *member_new(const struct message_start *start, uint64_t order)
{
	struct member *member = calloc(1, sizeof(*member));

	if (!member)
		return NULL;
	member->spawn = (struct spawn)SPAWN_NONE;
	member->out = member->err = (struct output)OUTPUT_NONE;
	member->order = order;
	member->ready_port = start->ready_port;
	if (!start_copy(start, &member->start))
		return member;
	free(member);
	return NULL;
}

/* Its filter, by the label that it will get. */
static int failing_find(const struct crew *crew, const struct message_start *start, const struct sock_fprog **ret_filter)
{
	char *label;

	if (start->untraced || !crew->events.failing)
		return 0;
	label = names_next_label(crew->place.names, start->name);
	if (!label)
		return -ENOMEM;
	*ret_filter = crew->events.failing(label, crew->events.arg);
	free(label);
	return 0;
}

/* In a container the run's directory is not there: who would work in it begins in the container's root. */
static int inside_prepare(struct spawn_spec *spec, const char *run_directory, const struct box *box, struct spawn *ret_spawn,
			  struct error *e)
{
	char **environment = NULL;
	int err;

	spec->enter = box->enter;
	if (enter_hides(run_directory, spec->directory)) {
		environment = enter_environment(spec->environment);
		if (!environment)
			return error_set(e, -ENOMEM, "out of memory");
		spec->directory = "/";
		spec->environment = environment;
	}
	err = spawn_prepare(spec, ret_spawn, e);
	free(environment);
	return err;
}

int crew_start(struct crew *crew, uint64_t order, const struct message_start *start, uint64_t now_ns, struct error *e)
{
	const struct crew_place *place = &crew->place;
	const struct box *box = boxes_find(place->boxes, start->box);
	struct spawn_spec spec = {
		.hosts = place->hosts,
		.resolv = place->resolv,
		.argv = start->argv,
		.environment = start->environment,
		.user = start->user,
		.directory = start->directory,
		.one_pipe = start->quiet,
	};
	struct member *member;
	int err;

	err = name_check(start, e);
	if (err)
		return err;
	if (start->untraced && start->ready_port)
		return error_set(e, -EINVAL, "the listener of '%s' would not be seen: it is untraced", start->name);
	if (!box)
		return error_set(e, -ENOENT, "there is no box '%s'", start->box);
	if (member_find(crew, start->name))
		return error_set(e, -EEXIST, "a process of this name is running");
	err = cgroup_of(crew, box->index, e);
	if (err)
		return err;
	spec.cgroup = crew->cgroups[box->index - 1];
	member = failing_find(crew, start, &spec.failing) < 0 ? NULL : member_new(start, order);
	if (!member)
		return error_set(e, -ENOMEM, "out of memory");
	spec.host = box->name;
	spec.netns = box->netns;
	err = box->enter ? inside_prepare(&spec, place->directory, box, &member->spawn, e) : spawn_prepare(&spec, &member->spawn, e);
	if (err < 0)
		goto out;
	tracer_ignore_pipe(place->tracer, member->spawn.go);
	tracer_ignore_pipe(place->tracer, member->spawn.failure);
	tracer_ignore_pipe(place->tracer, member->spawn.out);
	if (member->spawn.err >= 0)
		tracer_ignore_pipe(place->tracer, member->spawn.err);
	output_init(&member->out, member->spawn.out, start->quiet ? OUTPUT_QUIET : OUTPUT_KEEP,
		    start->quiet ? 0 : OUTPUT_KEEP);
	output_init(&member->err, member->spawn.err, OUTPUT_KEEP, OUTPUT_KEEP);
	member->spawn.out = member->spawn.err = -1;
	err = member_announce(crew, member, start, box->index, now_ns, e);
	if (err < 0)
		goto out;
	if (watch(crew, member, WATCH_FAILURE, member->spawn.failure) < 0 ||
	    watch(crew, member, WATCH_OUT, member->out.fd) < 0 || watch(crew, member, WATCH_ERR, member->err.fd) < 0) {
		err = error_set(e, -errno, "cannot watch its output: %s", strerror(errno));
		goto out;
	}
	spawn_go(&member->spawn);
	member->next = crew->members;
	crew->members = member;
	return 0;
out:
	member_free(crew, member);
	return err;
}

int crew_again(struct crew *crew, const char *name, uint64_t now_ns, struct error *e)
{
	const struct member *member = crew->members;

	/* the last one; those before it are further down */
	while (member && (!member->process || member->failed || strcmp(member->start.name, name)))
		member = member->next;
	if (!member)
		return error_set(e, -ENOENT, "no process '%s' has run", name);
	return crew_start(crew, 0, &member->start, now_ns, e);
}

int crew_signal(struct crew *crew, const char *name, int signal, struct error *e)
{
	struct member *member = member_find(crew, name);

	if (!member || member->spawn.pidfd < 0)
		return error_set(e, -ESRCH, "'%s' is not running", name);
	if (signal < 0 || signal >= NSIG)
		return error_set(e, -EINVAL, "%d is no signal", signal);
	if (syscall(SYS_pidfd_send_signal, member->spawn.pidfd, signal, NULL, 0) < 0)
		return error_set(e, -errno, "'%s' cannot be signalled: %s", name, strerror(errno));
	return 0;
}

static void on_exec(struct crew *crew, struct member *member)
{
	struct error e = { "" };
	int err;

	unwatch(crew, member->spawn.failure);
	err = spawn_result(&member->spawn, member->start.argv[0], &e);
	if (err == -EAGAIN) {
		watch(crew, member, WATCH_FAILURE, member->spawn.failure);
		return;
	}
	member->failed = err < 0;
	crew->events.on_started(member->start.name, member->process, member->order, err, e.text, member->spawn.pid, crew->events.arg);
}

void crew_on_ready(struct crew *crew, void *data)
{
	struct watch *watch = data;

	switch (watch->kind) {
	case WATCH_FAILURE:
		on_exec(crew, watch->member);
		break;
	case WATCH_OUT:
		if (output_read(&watch->member->out))
			pipe_close(crew, &watch->member->out);
		break;
	case WATCH_ERR:
		if (output_read(&watch->member->err))
			pipe_close(crew, &watch->member->err);
		break;
	}
}

static void output_rest(struct output *output)
{
	/* bounded: somebody else may still hold the other end and write */
	for (int i = 0; i < 64 && output->fd >= 0; i++) {
		uint64_t before = output->total;

		if (output_read(output) || output->total == before)
			break;
	}
}

void crew_on_exit(struct crew *crew, pid_t pid, int status)
{
	struct output_piece pieces[3] = { 0 };
	struct member **at = &crew->members, *member;

	while (*at && ((*at)->ended || (*at)->spawn.pid != pid))
		at = &(*at)->next;
	member = *at;
	if (!member)
		return;
	if (member->spawn.failure >= 0)
		on_exec(crew, member);
	member->ended = true;
	if (member->failed) /* its program never ran: the reply said so */
		return;
	output_rest(&member->out);
	if (member->start.quiet)
		output_pieces(&member->out, pieces);
	crew->events.on_exited(member->start.name, member->process, (uint32_t)status, pieces[0].bytes ? pieces[0].bytes : "",
			       pieces[0].size, crew->events.arg);
	if (member->process)
		return;
	/* All was told; a readiness program may be started thousands of times. */
	*at = member->next;
	member_free(crew, member);
}

const char *crew_ready(struct crew *crew, uint32_t process, uint16_t port)
{
	for (struct member *member = crew->members; member; member = member->next) {
		if (!member->process || member->ready_port != port || member->process != process)
			continue;
		member->ready_port = 0;
		return member->start.name;
	}
	return NULL;
}

bool crew_waits(const struct crew *crew)
{
	for (const struct member *member = crew->members; member; member = member->next)
		if (member->ready_port && !member->ended)
			return true;
	return false;
}

static void output_flush(struct crew *crew, const struct member *member, struct output *output, uint8_t stream)
{
	struct output_piece pieces[3];
	int n;

	output_rest(output);
	n = output_pieces(output, pieces);
	for (int i = 0; i < n; i++)
		if (pieces[i].size)
			stream_output(crew->place.stream, member->process, stream, pieces[i].offset, pieces[i].bytes,
				      pieces[i].size);
}

void crew_flush(struct crew *crew, void (*on_due)(void *arg), void *arg)
{
	for (struct member *member = crew->members; member; member = member->next) {
		if (!member->process || member->start.quiet)
			continue;
		output_flush(crew, member, &member->out, 1);
		output_flush(crew, member, &member->err, 2);
		if (stream_due(crew->place.stream))
			on_due(arg);
	}
}
