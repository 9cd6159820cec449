/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which container a path of /proc/PID/cgroup is of, by where the runtimes put theirs: docker, podman, containerd, CRI-O,
 * Kubernetes' kubelet, crun and runc; with cgroups made by systemd or by themselves, of version 1 or 2. Pure.
 *
 * The outermost container that the path tells of counts: what a container makes below its own folder (a docker in docker, or a
 * name that only looks like another's) is a part of it.
 */
#ifndef LIB_CONTAINER_H
#define LIB_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>

#define CONTAINER_ID_MAX 128u /* characters of an id */

/* X(NAME, "text"): what made it, as far as the path says. In a folder of the kubelet's any CRI runtime can have made it. */
#define CONTAINER_RUNTIMES(X) \
	X(DOCKER, "docker")   \
	X(PODMAN, "podman")   \
	X(CONTAINERD, "containerd") \
	X(CRIO, "cri-o")      \
	X(CRI, "cri")         \
	X(CRUN, "crun")       \
	X(RUNC, "runc")

enum container_runtime {
#define X(name, text) CONTAINER_##name,
	CONTAINER_RUNTIMES(X)
#undef X
	CONTAINER_RUNTIME_COUNT,
};

struct container_path {
	enum container_runtime runtime;
	char id[CONTAINER_ID_MAX + 1];
	char pod[37];  /* Kubernetes: the pod's uid, with '-'; else "" */
	size_t length; /* of the path, to the end of the container's own folder */
};

/* False: the path tells of no container, and *ret is untouched. Anything may be given. */
bool container_path_parse(const char *path, struct container_path *ret);

/* Can it be an id? 1 to CONTAINER_ID_MAX letters, digits, '_', '-', '.' and '+', and neither '.' nor '..' nor an option. */
bool container_id_valid(const char *id, size_t length);

const char *container_runtime_text(enum container_runtime runtime);

#endif
