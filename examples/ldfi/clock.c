/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The time of a synchronous system, and all that its workload does. In each tick every node sends, one after the other,
 * then every node receives; nodes with messages under way are given the time to wait for them in between. A node that is
 * gone is not waited for. This says nothing to anybody but whose turn it is.
 */
#include "ldfi.h"

struct member {
	const char *name;
	int fd; /* -1: it is gone */
};

static void member_open(struct member *member, const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	member->name = name;
	member->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "../%s/%s", name, CLOCK_SOCKET);
	if (member->fd < 0 || connect(member->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		printf("%s is not there\n", name);
		close(member->fd);
		member->fd = -1;
	}
}

/* Returns the answer, 0 if the node is gone. */
static char turn_give(struct member *member, char turn)
{
	char answer;

	if (member->fd < 0)
		return 0;
	if (send(member->fd, &turn, 1, MSG_NOSIGNAL) == 1 && recv(member->fd, &answer, 1, 0) == 1)
		return answer;
	close(member->fd);
	member->fd = -1;
	return 0;
}

static void tick(struct member *members, unsigned n)
{
	bool under_way[NODES_MAX];

	for (unsigned i = 0; i < n; i++)
		under_way[i] = turn_give(&members[i], TURN_SEND) == ANSWER_UNDER_WAY;
	for (unsigned i = 0; i < n; i++)
		if (under_way[i])
			turn_give(&members[i], TURN_WAIT);
	for (unsigned i = 0; i < n; i++)
		turn_give(&members[i], TURN_RECEIVE);
}

int main(int argc, char **argv)
{
	struct member members[NODES_MAX];
	unsigned n = argc - 2;
	int ticks;

	if (argc < 3 || n > NODES_MAX || (ticks = atoi(argv[1])) < 1) {
		fprintf(stderr, "usage: clock TICKS NODE...\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (unsigned i = 0; i < n; i++)
		member_open(&members[i], argv[i + 2]);
	for (int t = 1; t <= ticks; t++)
		tick(members, n);
	for (unsigned i = 0; i < n; i++)
		if (!turn_give(&members[i], TURN_END))
			printf("%s did not see the end of time\n", members[i].name);
	return 0;
}
