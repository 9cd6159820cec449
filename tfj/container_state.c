/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See container_state.h. What is read here was written by others: nothing of it is believed but names that look like names. */
#include "tfj/container_state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 8 << 20, PLAIN_MAX = 4096 };

/* The whole file as JSON; NULL: it does not tell. format has one %s for the root, then one for the id, if any. */
static json_t *file_json(const char *format, const char *id)
{
	char path[PATH_MAX], *text = NULL;
	json_t *json = NULL;
	struct stat st;
	ssize_t n;
	int fd;

	if (snprintf(path, sizeof(path), format, containers_root(), id) >= (int)sizeof(path))
		return NULL;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && st.st_size <= FILE_MAX)
		text = malloc((size_t)st.st_size);
	n = text ? read(fd, text, (size_t)st.st_size) : -1;
	if (n > 0)
		json = json_loadb(text, (size_t)n, 0, NULL);
	free(text);
	close(fd);
	return json;
}

/* Names are letters, digits and a few signs, also between them: nothing that a terminal or JSON would mind. */
static bool name_take(const json_t *json, char ret_name[CONTAINER_NAME_MAX + 1])
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-";
	const char *name = json_string_value(json);
	size_t n = name ? strlen(name) : 0;

	if (!n || n > CONTAINER_NAME_MAX || n != json_string_length(json) || strspn(name, letters) != n || *name == '-')
		return false;
	memcpy(ret_name, name, n + 1);
	return true;
}

/* X(a runtime's word for: name, pod, namespace); the first that is there counts */
#define NAMING(X)                                                                                                       \
	X("io.kubernetes.cri.container-name", "io.kubernetes.cri.sandbox-name", "io.kubernetes.cri.sandbox-namespace") \
	X("io.kubernetes.container.name", "io.kubernetes.pod.name", "io.kubernetes.pod.namespace")                     \
	X("nerdctl/name", "", "")

/* From annotations or labels. */
static void words_take(const json_t *words, struct container *c)
{
	static const struct {
		const char *name, *pod, *space;
	} naming[] = {
#define X(name, pod, space) { name, pod, space },
		NAMING(X)
#undef X
	};

	for (size_t i = 0; i < sizeof(naming) / sizeof(*naming); i++) {
		if (!*c->name)
			name_take(json_object_get(words, naming[i].name), c->name);
		if (!*c->pod)
			name_take(json_object_get(words, naming[i].pod), c->pod);
		if (!*c->space)
			name_take(json_object_get(words, naming[i].space), c->space);
	}
}

static void docker_read(struct container *c)
{
	json_t *json = file_json("%s/var/lib/docker/containers/%s/config.v2.json", c->id), *bare;
	const char *name = json_string_value(json_object_get(json, "Name"));

	words_take(json_object_get(json_object_get(json, "Config"), "Labels"), c);
	bare = name ? json_string(name + (*name == '/')) : NULL;
	if (!*c->name)
		name_take(bare, c->name);
	json_decref(bare);
	json_decref(json);
}

/* One file for all of them; and one for those that are to go with the next boot. */
static void podman_read(struct container *c)
{
	static const char *const files[] = { "%s/var/lib/containers/storage/overlay-containers/containers.json",
					     "%s/var/lib/containers/storage/overlay-containers/volatile-containers.json",
					     "%s/var/lib/containers/storage/vfs-containers/containers.json" };

	for (size_t i = 0; i < sizeof(files) / sizeof(*files) && !*c->name; i++) {
		json_t *json = file_json(files[i], ""), *row;
		size_t k;

		json_array_foreach(json, k, row) {
			const char *id = json_string_value(json_object_get(row, "id"));

			if (id && !strcmp(id, c->id))
				name_take(json_array_get(json_object_get(row, "names"), 0), c->name);
		}
		json_decref(json);
	}
}

/* The bundle that the CRI runtime has made for crun or runc. */
static bool annotations_read(struct container *c, const char *format)
{
	json_t *json = file_json(format, c->id);
	bool found = json;

	words_take(json_object_get(json, "annotations"), c);
	json_decref(json);
	return found;
}

static void containerd_read(struct container *c)
{
	if (!annotations_read(c, "%s/run/containerd/io.containerd.runtime.v2.task/k8s.io/%s/config.json"))
		annotations_read(c, "%s/run/containerd/io.containerd.runtime.v2.task/default/%s/config.json");
}

static void crio_read(struct container *c)
{
	annotations_read(c, "%s/run/containers/storage/overlay-containers/%s/userdata/config.json");
}

static void cri_read(struct container *c)
{
	if (annotations_read(c, "%s/run/containerd/io.containerd.runtime.v2.task/k8s.io/%s/config.json"))
		c->runtime = CONTAINER_CONTAINERD;
	else if (annotations_read(c, "%s/run/containers/storage/overlay-containers/%s/userdata/config.json"))
		c->runtime = CONTAINER_CRIO;
}

void container_state_read(struct container *c)
{
	switch (c->runtime) {
	case CONTAINER_DOCKER:
		docker_read(c);
		break;
	case CONTAINER_PODMAN:
		podman_read(c);
		break;
	case CONTAINER_CONTAINERD:
		containerd_read(c);
		break;
	case CONTAINER_CRIO:
		crio_read(c);
		break;
	case CONTAINER_CRI:
		cri_read(c);
		break;
	case CONTAINER_CRUN:
	case CONTAINER_RUNC:
		memcpy(c->name, c->id, sizeof(c->id)); /* its user chose the id */
		break;
	case CONTAINER_RUNTIME_COUNT:
		break;
	}
}

struct plain_place {
	enum container_runtime runtime;
	const char *folder, *file, *pid, *start;
};

static int plain_read(const struct plain_place *place, const char *id, int (*on_plain)(void *, const struct container_plain *), void *arg)
{
	struct container_plain plain = { .runtime = place->runtime };
	json_t *json = file_json(place->file, id);
	json_int_t pid = json_integer_value(json_object_get(json, place->pid));
	json_t *start = json_object_get(json, place->start);

	/* crun writes a number, some versions of runc one in quotes */
	plain.start = json_is_string(start) ? strtoull(json_string_value(start), NULL, 10) : (uint64_t)json_integer_value(start);
	json_decref(json);
	if (pid < 1 || pid > INT_MAX)
		return 0;
	plain.pid = (pid_t)pid;
	memcpy(plain.id, id, strlen(id) + 1);
	return on_plain(arg, &plain);
}

int container_state_each(int (*on_plain)(void *arg, const struct container_plain *plain), void *arg)
{
	static const struct plain_place places[] = {
		{ CONTAINER_CRUN, "%s/run/crun", "%s/run/crun/%s/status", "pid", "process-start-time" },
		{ CONTAINER_RUNC, "%s/run/runc", "%s/run/runc/%s/state.json", "init_process_pid", "init_process_start" },
	};
	char path[PATH_MAX];
	int err = 0, n = 0;

	for (size_t i = 0; i < sizeof(places) / sizeof(*places) && !err; i++) {
		struct dirent *entry;
		DIR *dir;

		if (snprintf(path, sizeof(path), places[i].folder, containers_root()) >= (int)sizeof(path))
			continue;
		dir = opendir(path);
		while (dir && !err && n < PLAIN_MAX && (entry = readdir(dir))) {
			if (!container_id_valid(entry->d_name, strlen(entry->d_name)))
				continue;
			n++;
			err = plain_read(&places[i], entry->d_name, on_plain, arg);
		}
		if (dir)
			closedir(dir);
	}
	return err;
}
