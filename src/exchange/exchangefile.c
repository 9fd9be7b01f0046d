/*-------------------------------------------------------------------------
 *
 * exchangefile.c
 *	  Server files for the exchange with Annoy.
 *
 * As with COPY, paths are absolute, and whoever may use these files at all may
 * use all that the server may.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog/pg_authid_d.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/acl.h"

#include "annoycompat.h"
#include "exchange/exchange.h"

/* Ends the name of a file that is not complete. */
#define TEMPORARY_SUFFIX ".annoy-%d-%d"
#define TEMPORARY_SUFFIX_SIZE 40

/* Names to try: there may be files that a crash has left. */
#define TEMPORARY_NAMES 100

/* What COPY gives to files that others are to read. */
#define FILE_MODE (S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH)

static char *
check_path(const char *path)
{
	char	   *checked = pstrdup(path);

	canonicalize_path(checked);
	if (!is_absolute_path(checked))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("relative path \"%s\" is not allowed", path)));
	if (strlen(checked) + TEMPORARY_SUFFIX_SIZE >= MAXPGPATH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("path is too long")));
	return checked;
}

/* ---------------------------------------------------------------------
 * Reading
 * ---------------------------------------------------------------------
 */

/* AnnoyFileSource */
static bool
read_file(void *context, uint64_t offset, void *out, size_t size)
{
	const AnnoyServerFile *file = context;
	size_t		done = 0;

	CHECK_FOR_INTERRUPTS();
	while (done < size)
	{
		ssize_t		got = pg_pread(file->fd, (char *) out + done, size - done,
								   (off_t) (offset + done));

		if (got < 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read file \"%s\": %m", file->path)));
		if (got == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("file \"%s\" has become shorter while it was read",
							file->path)));
		done += got;
	}
	return true;
}

void
AnnoyOpenServerFile(AnnoyServerFile *file, const char *path)
{
	struct stat status;

	if (!has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to read a file of the server"),
				 errdetail("Only roles with privileges of the \"%s\" role may read files of the server.",
						   "pg_read_server_files")));
	file->path = check_path(path);

	/* a pipe would wait for its other end */
	if (stat(file->path, &status) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not stat file \"%s\": %m", file->path)));
	if (!S_ISREG(status.st_mode))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a regular file", file->path)));
	file->fd = OpenTransientFile(file->path, O_RDONLY | PG_BINARY);
	if (file->fd < 0 || fstat(file->fd, &status) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\" for reading: %m",
						file->path)));
	if (!S_ISREG(status.st_mode))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a regular file", file->path)));
	file->source.context = file;
	file->source.size = (uint64_t) status.st_size;
	file->source.read = read_file;
}

void
AnnoyCloseServerFile(AnnoyServerFile *file)
{
	CloseTransientFile(file->fd);
}

/* ---------------------------------------------------------------------
 * Writing
 * ---------------------------------------------------------------------
 */

/* AnnoyFileSource: what was written before. */
static bool
read_new_file(void *context, uint64_t offset, void *out, size_t size)
{
	const AnnoyNewServerFile *file = context;
	AnnoyServerFile written = {.path = file->temporary,.fd = file->fd};

	return read_file(&written, offset, out, size);
}

/* AnnoyFileSink */
static bool
write_new_file(void *context, uint64_t offset, const void *data, size_t size)
{
	const AnnoyNewServerFile *file = context;
	size_t		done = 0;

	CHECK_FOR_INTERRUPTS();
	while (done < size)
	{
		ssize_t		written;

		errno = 0;
		written = pg_pwrite(file->fd, (const char *) data + done, size - done,
							(off_t) (offset + done));
		if (written <= 0)
		{
			if (errno == 0)
				errno = ENOSPC;
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not write file \"%s\": %m", file->temporary)));
		}
		done += written;
	}
	return true;
}

/*
 * Before any work is done: whether the user may write the file, and it would
 * be a regular one.  Returns its path in canonical form.
 */
char *
AnnoyCheckNewServerFile(const char *path)
{
	struct stat status;
	char	   *checked;

	if (!has_privs_of_role(GetUserId(), ROLE_PG_WRITE_SERVER_FILES))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to write a file of the server"),
				 errdetail("Only roles with privileges of the \"%s\" role may write files of the server.",
						   "pg_write_server_files")));
	checked = check_path(path);

	/* a link would be replaced, not what it names: refused, not to surprise */
	if (lstat(checked, &status) == 0 && !S_ISREG(status.st_mode))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" exists and is not a regular file", checked)));
	return checked;
}

void
AnnoyCreateServerFile(AnnoyNewServerFile *file, char *path)
{
	file->path = path;
	file->fd = -1;
	for (int i = 0; i < TEMPORARY_NAMES && file->fd < 0; i++)
	{
		char	   *name = psprintf("%s" TEMPORARY_SUFFIX, path, MyProcPid, i);

		file->fd = OpenTransientFilePerm(name, O_RDWR | O_CREAT | O_EXCL |
										 PG_BINARY, FILE_MODE);
		if (file->fd >= 0)
			file->temporary = name;
		else if (errno != EEXIST)
			break;
	}
	if (file->fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create a file beside \"%s\": %m", path)));
	file->source.context = file;
	file->source.size = 0;		/* not known, and not asked for */
	file->source.read = read_new_file;
	file->sink.context = file;
	file->sink.write = write_new_file;
}

/* Puts the complete file in its place, in one step, and on disk. */
void
AnnoyFinishServerFile(AnnoyNewServerFile *file)
{
	int			fd = file->fd;

	/* the server's umask leaves others nothing */
	if (fchmod(fd, FILE_MODE) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not set permissions of file \"%s\": %m",
						file->temporary)));
	file->fd = -1;
	if (CloseTransientFile(fd) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not close file \"%s\": %m", file->temporary)));
	durable_rename(file->temporary, file->path, ERROR);
	file->temporary = NULL;
}

/* If it was not finished.  Raises no error; fd is closed by the transaction. */
void
AnnoyRemoveServerFile(AnnoyNewServerFile *file)
{
	if (file->temporary != NULL && unlink(file->temporary) != 0)
		ereport(WARNING,
				(errcode_for_file_access(),
				 errmsg("could not remove file \"%s\": %m", file->temporary)));
	file->temporary = NULL;
}
