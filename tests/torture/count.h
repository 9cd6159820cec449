/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a torture program counts itself: bytes that its threads sent and received, by connection. A connection is named
 * by its addresses, remembered while it has them. One JSON line for each thread and connection, printed at the end.
 * Gives up (exit status 98, one line on stderr) when a call does not do what its way needs.
 */
#ifndef TESTS_TORTURE_COUNT_H
#define TESTS_TORTURE_COUNT_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define must(cond)                                                                                                     \
	do {                                                                                                           \
		if (!(cond)) {                                                                                         \
			fprintf(stderr, "%s: %s:%d: %s: %s\n", count_way(), __FILE__, __LINE__, #cond, strerror(errno)); \
			_exit(98);                                                                                     \
		}                                                                                                      \
	} while (0)

/* This process works on that way; what it counted before is forgotten. */
void count_begin(const char *way);
const char *count_way(void);

/* In a new child: what the parent counted is not the child's. */
void count_forked(void);

/* The calling thread is the k-th that its process made; 0: its first one. */
void count_thread(unsigned number);

/* fd is a connection now: remembers its addresses. Returns fd. */
int count_connection(int fd);

/* The same for a number that is no descriptor, with the addresses. */
struct sockaddr_in6;
int count_ends(int number, const struct sockaddr_in6 *local, const struct sockaddr_in6 *remote);

/* fd refers to what other refers to. Returns fd. */
int count_same(int fd, int other);

/* The calling thread moved n bytes, if n > 0. Returns n. */
ssize_t count_sent(int fd, ssize_t n);
ssize_t count_received(int fd, ssize_t n);

/* The calling thread accepted fd. Returns fd. */
int count_accepted(int fd);

/* A connect() of this process to that port failed so, or (0) did not. */
void count_connect(uint16_t port, int error);

/* This cannot be tried here. Ends the process well. */
__attribute__((noreturn)) void count_skip(const char *reason);

/* Prints it all, and forgets it. */
void count_end(void);

#endif
