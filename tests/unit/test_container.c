/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Paths of cgroups as the runtimes make them tell of their container; others of none. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/container.h"

#define A "4c01db0b339c4c01db0b339c4c01db0b339c4c01db0b339c4c01db0b339c4c01"
#define B "b2f4b2f4b2f4b2f4b2f4b2f4b2f4b2f4b2f4b2f4b2f4b2f4b2f4b2f4b2f4b2f4"
#define POD "8dbc6577-d0e2-4706-8787-57d52c03ddf2"
#define POD_ "8dbc6577_d0e2_4706_8787_57d52c03ddf2"
#define FILE_POD "0123456789abcdef0123456789abcdef"

/* X(runtime, path, what is of the container, id, pod): with cgroups of systemd, and of the runtime itself; v1 and v2 look alike */
#define LAYOUTS(X)                                                                                              \
	X(DOCKER, "/docker/" A, "", A, "")                                                                      \
	X(DOCKER, "/system.slice/docker-" A ".scope", "", A, "")                                                \
	X(DOCKER, "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" A ".scope", "/init", A, "") \
	X(DOCKER, "/moby/" A, "", A, "")                                                                        \
	X(DOCKER, "/kubepods/burstable/pod" POD "/docker-" A ".scope", "", A, POD)                              \
	X(PODMAN, "/machine.slice/libpod-" A ".scope", "/container", A, "")                                     \
	X(PODMAN, "/libpod_parent/libpod-" A, "", A, "")                                                        \
	X(PODMAN, "/machine.slice/machine-libpod_pod_" B ".slice/libpod-" A ".scope", "/container", A, "")      \
	X(PODMAN, "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" A ".scope", "", A, "")     \
	X(CONTAINERD, "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" POD_ ".slice/cri-containerd-" A ".scope", "", A, POD) \
	X(CONTAINERD, "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" POD_ ".slice/cri-containerd-" A ".scope", "", A, POD) \
	X(CONTAINERD, "/kubepods.slice/kubepods-pod" POD_ ".slice/cri-containerd-" A ".scope", "", A, POD)      \
	X(CONTAINERD, "/../../kubepods-burstable-pod" POD_ ".slice/cri-containerd-" A ".scope", "", A, POD)     \
	X(CONTAINERD, "/system.slice/containerd.service/kubepods-besteffort-pod" POD_ ".slice:cri-containerd:" A, "", A, POD) \
	X(CONTAINERD, "/k8s.io/" A, "", A, "")                                                                  \
	X(CONTAINERD, "/default/" A, "", A, "")                                                                 \
	X(CONTAINERD, "/system.slice/nerdctl-" A ".scope", "", A, "")                                           \
	X(CRI, "/kubepods/besteffort/pod" POD "/" A, "", A, POD)                                                \
	X(CRI, "/kubepods/pod" POD "/" A, "/sub/sub", A, POD)                                                   \
	X(CRI, "/kubepods/burstable/pod" FILE_POD "/" A, "", A, FILE_POD)                                       \
	X(CRIO, "/kubepods.slice/kubepods-pod" POD_ ".slice/crio-" A ".scope", "", A, POD)                      \
	X(CRIO, "/kubepods.slice/kubepods-pod" POD_ ".slice/crio-" A ".scope", "/container", A, POD)            \
	X(CRIO, "/kubepods/besteffort/pod" POD "/crio-" A, "", A, POD)                                          \
	X(CRUN, "/user.slice/user-0.slice/session-1.scope/crun/redis.1", "", "redis.1", "")                     \
	X(CRUN, "/system.slice/crun-redis.scope", "", "redis", "")                                              \
	X(RUNC, "/system.slice/runc-redis_2.scope", "", "redis_2", "")                                          \
	X(RUNC, "/runc/redis", "/deep", "redis", "")                                                            \
	/* a container is what is outermost, whatever is made to look like one inside */                         \
	X(DOCKER, "/docker/" A, "/docker/" B, A, "")                                                            \
	X(DOCKER, "/system.slice/docker-" A ".scope", "/kubepods/pod" POD "/" B, A, "")                         \
	X(DOCKER, "docker/" A, "", A, "")                                                                       \
	X(DOCKER, "//docker/" A, "/", A, "")

static const struct {
	enum container_runtime runtime;
	const char *own, *inside, *id, *pod;
} layouts[] = {
#define X(runtime, own, inside, id, pod) { CONTAINER_##runtime, own, inside, id, pod },
	LAYOUTS(X)
#undef X
};

START_TEST(known)
{
	char path[1024];

	for (size_t i = 0; i < sizeof(layouts) / sizeof(*layouts); i++) {
		struct container_path got = { 0 };

		snprintf(path, sizeof(path), "%s%s", layouts[i].own, layouts[i].inside);
		ck_assert_msg(container_path_parse(path, &got), "%s", path);
		ck_assert_msg(got.runtime == layouts[i].runtime, "%s: %s", path, container_runtime_text(got.runtime));
		ck_assert_str_eq(got.id, layouts[i].id);
		ck_assert_str_eq(got.pod, layouts[i].pod);
		ck_assert_msg(got.length == strlen(layouts[i].own), "%s: %zu", path, got.length);
	}
}
END_TEST

static const char *const others[] = {
	"", "/", "//", "/..", "/../..", "/init.scope", "/user.slice/user-0.slice/session-1.scope", "/system.slice/docker.service",
	"/docker", "/docker/", "/docker/buildx", "/docker/" A "0", "/docker/4C01" , "/system.slice/docker-.scope",
	"/system.slice/docker-" A "x.scope", "/machine.slice/libpod-conmon-" A ".scope", "/system.slice/crio-conmon-" A ".scope",
	"/kubepods.slice/kubepods-pod" POD_ ".slice", "/kubepods/besteffort/pod" POD, "/kubepods/podx/" A, "/" A, "/redis",
	"/crun/", "/crun/..", "/crun/.", "/runc/a b", "/runc/-x", "/x/crun-redis", "/a:b", "/a:cri-containerd:", "/::", "/x:docker:" A "0",
	"/system.slice/crun-.scope", "/pod" POD "x/" A, "/kubepods-pod" POD "/" A,
};

START_TEST(unknown)
{
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		struct container_path got = { .id = "untouched" };

		ck_assert_msg(!container_path_parse(others[i], &got), "%s: %s", others[i], got.id);
		ck_assert_str_eq(got.id, "untouched");
	}
}
END_TEST

/* An id that is cut anywhere is none, and nothing is read behind its end. */
START_TEST(cut)
{
	for (size_t i = 0; i < sizeof(layouts) / sizeof(*layouts); i++) {
		size_t all = strlen(layouts[i].own);

		for (size_t n = 0; n < all; n++) {
			char *path = strndup(layouts[i].own, n);
			struct container_path got;

			ck_assert_ptr_nonnull(path);
			if (container_path_parse(path, &got))
				ck_assert(container_id_valid(got.id, strlen(got.id)) && got.length <= n);
			free(path);
		}
	}
}
END_TEST

START_TEST(ids)
{
	char longest[CONTAINER_ID_MAX + 2], path[CONTAINER_ID_MAX + 16];
	struct container_path got;

	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	ck_assert(!container_id_valid(longest, strlen(longest)));
	snprintf(path, sizeof(path), "/runc/%s", longest);
	ck_assert(!container_path_parse(path, &got));
	longest[sizeof(longest) - 2] = '\0';
	ck_assert(container_id_valid(longest, strlen(longest)));
	snprintf(path, sizeof(path), "/runc/%s", longest);
	ck_assert(container_path_parse(path, &got));
	ck_assert_str_eq(got.id, longest);
	ck_assert(!container_id_valid("a\0b", 3));
	ck_assert(!container_id_valid("", 0));
	ck_assert(!container_id_valid("\xff", 1));
	ck_assert(container_id_valid("..a", 3));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("container");
	TCase *tc = tcase_create("paths");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, known);
	tcase_add_test(tc, unknown);
	tcase_add_test(tc, cut);
	tcase_add_test(tc, ids);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
