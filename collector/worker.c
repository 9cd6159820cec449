/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See worker.h. Threads are started with the first job: a server that never has one has none. */
#include "collector/worker.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utlist.h>

enum { THREADS = 2 }; /* a long piece does not keep a short one waiting; more would take what agents of this machine need */

struct workers {
	pthread_mutex_t lock; /* of the next three; never held for long */
	sem_t more;	      /* jobs that wait; not a condition variable, whose signal can wait for a thread that is not run */
	struct worker_job *waiting, *finished;
	bool closing;
	pthread_t threads[THREADS];
	unsigned n_threads; /* the caller's, as fd */
	int fd;
};

/* NULL: there will be no more. */
static struct worker_job *job_take(struct workers *workers)
{
	struct worker_job *job;

	while (sem_wait(&workers->more) < 0) /* EINTR */
		;
	pthread_mutex_lock(&workers->lock);
	job = workers->closing ? NULL : workers->waiting;
	if (job)
		DL_DELETE(workers->waiting, job);
	pthread_mutex_unlock(&workers->lock);
	return job;
}

static void job_finish(struct workers *workers, struct worker_job *job)
{
	pthread_mutex_lock(&workers->lock);
	DL_APPEND(workers->finished, job);
	pthread_mutex_unlock(&workers->lock);
	eventfd_write(workers->fd, 1);
}

static void *work(void *arg)
{
	struct workers *workers = arg;
	struct worker_job *job;

	while ((job = job_take(workers))) {
		job->work(job);
		job_finish(workers, job);
	}
	return NULL;
}

int workers_open(struct workers **ret_workers, struct error *e)
{
	struct workers *workers = calloc(1, sizeof(*workers));

	if (!workers)
		return error_set(e, -ENOMEM, "out of memory");
	pthread_mutex_init(&workers->lock, NULL);
	sem_init(&workers->more, 0, 0);
	workers->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (workers->fd < 0) {
		error_set(e, -errno, "eventfd: %s", strerror(errno));
		workers_close(workers);
		return -EIO;
	}
	*ret_workers = workers;
	return 0;
}

bool workers_closing(struct workers *workers)
{
	bool closing;

	pthread_mutex_lock(&workers->lock);
	closing = workers->closing;
	pthread_mutex_unlock(&workers->lock);
	return closing;
}

void workers_close(struct workers *workers)
{
	if (!workers)
		return;
	pthread_mutex_lock(&workers->lock);
	workers->closing = true;
	pthread_mutex_unlock(&workers->lock);
	for (unsigned i = 0; i < workers->n_threads; i++)
		sem_post(&workers->more);
	for (unsigned i = 0; i < workers->n_threads; i++)
		pthread_join(workers->threads[i], NULL);
	if (workers->fd >= 0)
		close(workers->fd);
	sem_destroy(&workers->more);
	pthread_mutex_destroy(&workers->lock);
	free(workers);
}

static void threads_start(struct workers *workers)
{
	while (workers->n_threads < THREADS &&
	       pthread_create(&workers->threads[workers->n_threads], NULL, work, workers) == 0)
		pthread_setname_np(workers->threads[workers->n_threads++], WORKER_NAME);
}

void workers_add(struct workers *workers, struct worker_job *job)
{
	threads_start(workers);
	if (!workers->n_threads) { /* none can be had: better late than never */
		job->work(job);
		job_finish(workers, job);
		return;
	}
	pthread_mutex_lock(&workers->lock);
	DL_APPEND(workers->waiting, job);
	pthread_mutex_unlock(&workers->lock);
	sem_post(&workers->more);
}

int workers_fd(const struct workers *workers)
{
	return workers->fd;
}

void workers_done(struct workers *workers)
{
	struct worker_job *finished, *job;
	eventfd_t n;

	eventfd_read(workers->fd, &n);
	pthread_mutex_lock(&workers->lock);
	finished = workers->finished;
	workers->finished = NULL;
	pthread_mutex_unlock(&workers->lock);
	while ((job = finished)) {
		DL_DELETE(finished, job);
		job->done(job); /* which may free it */
	}
}
