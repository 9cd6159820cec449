/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See container.h. A path is looked at folder by folder, from the outside; each layout has a row. */
#include "lib/container.h"

#include <string.h>

#define HEX "0123456789abcdef"
#define HEX_ID 64u
#define UID 36u

struct part {
	const char *text;
	size_t length;
};

/* X: which ids. HEX: 64 digits, ANY: whatever a runtime takes. */
enum ids { IDS_HEX, IDS_ANY };

/* PREFIX-ID, or PREFIX-ID.scope, wherever that is. */
static const struct {
	const char *prefix;
	enum container_runtime runtime;
	enum ids ids;
	bool scope; /* only as a scope of systemd */
} named[] = {
	{ "docker-", CONTAINER_DOCKER, IDS_HEX, false },
	{ "libpod-", CONTAINER_PODMAN, IDS_HEX, false },
	{ "cri-containerd-", CONTAINER_CONTAINERD, IDS_HEX, false },
	{ "nerdctl-", CONTAINER_CONTAINERD, IDS_HEX, false },
	{ "crio-", CONTAINER_CRIO, IDS_HEX, false },
	{ "crun-", CONTAINER_CRUN, IDS_ANY, true },
	{ "runc-", CONTAINER_RUNC, IDS_ANY, true },
};

/* PARENT/ID */
static const struct {
	const char *parent;
	enum container_runtime runtime;
	enum ids ids;
} below[] = {
	{ "docker", CONTAINER_DOCKER, IDS_HEX },
	{ "moby", CONTAINER_DOCKER, IDS_HEX },
	{ "buildkit", CONTAINER_DOCKER, IDS_HEX },
	{ "default", CONTAINER_CONTAINERD, IDS_HEX }, /* containerd's namespaces */
	{ "k8s.io", CONTAINER_CONTAINERD, IDS_HEX },
	{ "crun", CONTAINER_CRUN, IDS_ANY },
	{ "runc", CONTAINER_RUNC, IDS_ANY },
};

static bool is(struct part part, const char *text)
{
	return part.length == strlen(text) && !memcmp(part.text, text, part.length);
}

/* Takes text off the front, or off the end. */
static bool without_prefix(struct part *part, const char *text)
{
	size_t n = strlen(text);

	if (part->length < n || memcmp(part->text, text, n))
		return false;
	part->text += n;
	part->length -= n;
	return true;
}

static bool without_suffix(struct part *part, const char *text)
{
	size_t n = strlen(text);

	if (part->length < n || memcmp(part->text + part->length - n, text, n))
		return false;
	part->length -= n;
	return true;
}

bool container_id_valid(const char *id, size_t length)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-";

	if (!length || length > CONTAINER_ID_MAX || *id == '-' || (*id == '.' && (length == 1 || (length == 2 && id[1] == '.'))))
		return false;
	for (size_t i = 0; i < length; i++)
		if (!id[i] || !strchr(letters, id[i]))
			return false;
	return true;
}

static bool is_id(struct part part, enum ids ids)
{
	if (ids == IDS_ANY)
		return container_id_valid(part.text, part.length);
	for (size_t i = 0; i < part.length; i++)
		if (!part.text[i] || !strchr(HEX, part.text[i]))
			return false;
	return part.length == HEX_ID;
}

/* 8-4-4-4-12 digits, with '_' for '-' in what systemd names; or 32 without, of a pod that the kubelet has from a file. */
static bool uid_take(struct part part, char ret_uid[UID + 1])
{
	char uid[UID + 1] = "";

	if (part.length != UID && part.length != 32)
		return false;
	for (size_t i = 0; i < part.length; i++) {
		bool dash = part.length == UID && (i == 8 || i == 13 || i == 18 || i == 23);
		char c = part.text[i];

		if (dash ? c != '-' && c != '_' : !c || !strchr(HEX, c))
			return false;
		uid[i] = dash ? '-' : c;
	}
	memcpy(ret_uid, uid, sizeof(uid));
	return true;
}

/* podUID below kubepods, or kubepods-burstable-podUID.slice */
static bool pod_take(struct part part, char ret_uid[UID + 1])
{
	if (without_suffix(&part, ".slice") && !without_prefix(&part, "kubepods-burstable-") &&
	    !without_prefix(&part, "kubepods-besteffort-") && !without_prefix(&part, "kubepods-"))
		return false;
	return without_prefix(&part, "pod") && uid_take(part, ret_uid);
}

static bool found(struct container_path *ret, enum container_runtime runtime, struct part id)
{
	ret->runtime = runtime;
	memcpy(ret->id, id.text, id.length);
	ret->id[id.length] = '\0';
	return true;
}

/* What containerd makes of systemd's name for a folder when it makes folders itself: SLICE:PREFIX:ID. */
static bool colons_take(struct part part, struct container_path *ret)
{
	const char *first = memchr(part.text, ':', part.length);
	const char *second = first ? memchr(first + 1, ':', (size_t)(part.text + part.length - first - 1)) : NULL;
	struct part slice, prefix, id;
	enum container_runtime runtime = CONTAINER_CONTAINERD;

	if (!second)
		return false;
	slice = (struct part){ part.text, (size_t)(first - part.text) };
	prefix = (struct part){ first + 1, (size_t)(second - first - 1) };
	id = (struct part){ second + 1, (size_t)(part.text + part.length - second - 1) };
	if (is(prefix, "docker"))
		runtime = CONTAINER_DOCKER;
	else if (is(prefix, "crio"))
		runtime = CONTAINER_CRIO;
	else if (!is(prefix, "cri-containerd") && !is(prefix, "nerdctl"))
		return false;
	if (!is_id(id, IDS_HEX))
		return false;
	pod_take(slice, ret->pod);
	return found(ret, runtime, id);
}

/* Is this folder a container? before: the folder around it. */
static bool part_take(struct part part, struct part before, struct container_path *ret)
{
	struct part name = part;
	bool scope = without_suffix(&name, ".scope");

	for (size_t i = 0; i < sizeof(named) / sizeof(*named); i++) {
		struct part id = name;

		if (without_prefix(&id, named[i].prefix) && (scope || !named[i].scope) && is_id(id, named[i].ids))
			return found(ret, named[i].runtime, id);
	}
	for (size_t i = 0; i < sizeof(below) / sizeof(*below); i++)
		if (is(before, below[i].parent) && is_id(part, below[i].ids))
			return found(ret, below[i].runtime, part);
	if (*ret->pod && is_id(part, IDS_HEX))
		return found(ret, CONTAINER_CRI, part);
	return colons_take(part, ret);
}

bool container_path_parse(const char *path, struct container_path *ret)
{
	struct container_path way = { 0 };
	struct part before = { "", 0 }, part;

	for (const char *at = path; *at; at = part.text + part.length) {
		part = (struct part){ at + (*at == '/'), strcspn(at + (*at == '/'), "/") };
		if (part_take(part, before, &way)) {
			way.length = (size_t)(part.text + part.length - path);
			*ret = way;
			return true;
		}
		if (!*way.pod)
			pod_take(part, way.pod);
		before = part;
	}
	return false;
}

const char *container_runtime_text(enum container_runtime runtime)
{
	static const char *const texts[] = {
#define X(name, text) [CONTAINER_##name] = text,
		CONTAINER_RUNTIMES(X)
#undef X
	};

	return texts[runtime];
}
