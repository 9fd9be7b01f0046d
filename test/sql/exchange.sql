-- Exchange with the library Annoy: round trips of every format and metric, what
-- is written, and errors.  test/t/019_exchange.pl has the library itself.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS annoy;

CREATE TABLE points (id int, small smallint, large bigint, e vector(6), b bit(70), note text);
INSERT INTO points
	SELECT i, i, i * 3, ARRAY[sin(i), cos(i), sin(i * 2), sin(i * 3), i % 7, 1],
		(SELECT string_agg((sin(i * 100 + k) > 0)::int::text, '' ORDER BY k) FROM generate_series(1, 70) AS k)::bit(70)
	FROM generate_series(0, 499) AS i;
CREATE INDEX points_l2 ON points USING annoy (e vector_l2_ops) WITH (n_trees = 2);
CREATE INDEX points_cosine ON points USING annoy (e vector_cosine_ops) WITH (n_trees = 2);
CREATE INDEX points_ip ON points USING annoy (e vector_ip_ops) WITH (n_trees = 2);
CREATE INDEX points_l1 ON points USING annoy (e vector_l1_ops) WITH (n_trees = 2);
CREATE INDEX points_hamming ON points USING annoy (b bit_hamming_ops) WITH (n_trees = 2);
CREATE INDEX points_jaccard ON points USING annoy (b bit_jaccard_ops);

-- Every format, and ids from columns of every integer type: what was written is
-- read back.
SELECT index, format, count(*), bool_and(embedding = expected)
FROM (VALUES ('points_l2', 'euclidean'), ('points_cosine', 'angular'), ('points_ip', 'dot'), ('points_l1', 'manhattan')) AS i (index, metric),
	(VALUES ('native'), ('portable'), ('canonical')) AS f (format),
	LATERAL annoy_items(annoy_serialize(index::regclass, format, 'small'), metric, 6) AS item
	JOIN LATERAL (SELECT id, e::real[] AS expected FROM points) AS p USING (id)
GROUP BY index, format ORDER BY index, format COLLATE "C";
SELECT format, count(*), bool_and(embedding = expected)
FROM (VALUES ('native'), ('portable'), ('canonical')) AS f (format),
	LATERAL annoy_items(annoy_serialize('points_hamming', format, 'id'), 'hamming', 70) AS item
	JOIN LATERAL (SELECT id, regexp_split_to_array(b::text, '')::real[] AS expected FROM points) AS p USING (id)
GROUP BY format ORDER BY format COLLATE "C";

-- With holes, which a canonical blob fills with zero vectors.
SELECT count(*), count(*) FILTER (WHERE id % 3 = 0), max(id)
FROM annoy_items(annoy_serialize('points_l2', 'native', 'large'), 'l2', 6);
SELECT count(*), count(*) FILTER (WHERE embedding = '{0,0,0,0,0,0}'), max(id)
FROM annoy_items(annoy_serialize('points_l2', 'canonical', 'large'), 'l2', 6);

-- Without ids rows are numbered in the order of the table; dimensions are found.
SELECT count(*), bool_and(embedding = e::real[])
FROM annoy_items(annoy_serialize('points_l2'), 'euclidean') AS item JOIN points USING (id);

-- Headers.
SELECT encode(substring(annoy_serialize('points_l2', 'portable') FOR 20), 'escape') AS portable;
SELECT encode(substring(annoy_serialize('points_ip', 'canonical') FOR 36), 'escape') AS canonical;

-- The same bytes each time.
SELECT annoy_serialize('points_cosine') = annoy_serialize('points_cosine') AS same;

-- Rows without a vector or direction, expressions and conditions.
CREATE TABLE few (id int, e vector(2));
INSERT INTO few VALUES (0, '[1,2]'), (1, NULL), (2, '[0,0]'), (3, '[3,4]');
CREATE INDEX few_cosine ON few USING annoy (e);
CREATE INDEX few_half ON few USING annoy ((e + e) vector_l2_ops) WHERE id > 1;
SELECT * FROM annoy_items(annoy_serialize('few_cosine', 'native', 'id'), 'cosine', 2);
SELECT * FROM annoy_items(annoy_serialize('few_half', 'portable', 'id'), 'l2', 2);
DELETE FROM few WHERE id = 3;
SELECT * FROM annoy_items(annoy_serialize('few_cosine'), 'cosine', 2);
CREATE INDEX zero_only ON few USING annoy (e) WHERE id = 2;
SELECT * FROM annoy_items(annoy_serialize('zero_only'), 'cosine', 2);

-- Many equal vectors, which nothing separates.
CREATE TABLE equal AS SELECT i AS id, '[1,2]'::vector(2) AS e FROM generate_series(0, 999) AS i;
CREATE INDEX equal_index ON equal USING annoy (e vector_l2_ops);
SELECT count(*) FROM annoy_items(annoy_serialize('equal_index'), 'l2', 2) WHERE embedding = '{1,2}';

-- The three points of the library's own example, in the file's bytes.
CREATE TABLE three (id int, e vector(2));
INSERT INTO three VALUES (0, '[2,2]'), (1, '[3,2]'), (2, '[3,3]');
CREATE INDEX three_index ON three USING annoy (e vector_l2_ops);
SELECT length(annoy_serialize('three_index')) / 24 AS nodes, * FROM annoy_items(annoy_serialize('three_index'), 'l2', 2);

-- NULL in, nothing out.
SELECT annoy_serialize(NULL) IS NULL AS serialized, annoy_save('points_l2', NULL) IS NULL AS saved;
SELECT count(*) FROM annoy_items(NULL, 'l2');
SELECT count(*) FROM annoy_items('', NULL);

-- Errors.
\set VERBOSITY sqlstate
SELECT annoy_serialize('points');
SELECT annoy_serialize('points_jaccard');
SELECT annoy_serialize('points_l2', 'zip');
SELECT annoy_serialize('points_l2', 'native', 'nowhere');
SELECT annoy_serialize('points_l2', 'native', 'ctid');
SELECT annoy_serialize('points_l2', 'native', 'note');
SELECT annoy_save('points_l2', 'relative');
UPDATE points SET small = 7 WHERE id = 8;
SELECT annoy_serialize('points_l2', 'native', 'small');
UPDATE points SET small = NULL WHERE id = 8;
SELECT annoy_serialize('points_l2', 'native', 'small');
UPDATE points SET large = 3000000000 WHERE id = 8;
SELECT annoy_serialize('points_l2', 'native', 'large');
UPDATE points SET large = 2147483000 WHERE id = 8;
SET maintenance_work_mem = '1MB';
SELECT annoy_serialize('points_l2', 'native', 'large');
RESET maintenance_work_mem;
SELECT length(annoy_serialize('points_l2', 'native', 'large'));
CREATE TABLE nothing (e vector(2));
CREATE INDEX nothing_index ON nothing USING annoy (e);
SELECT annoy_serialize('nothing_index');
CREATE ROLE regress_annoy_guest;
SET ROLE regress_annoy_guest;
SELECT annoy_serialize('points_l2');
SELECT annoy_save('points_l2', '/tmp/never');
SELECT * FROM annoy_file_items('/etc/passwd', 'l2');
RESET ROLE;
GRANT SELECT (e) ON points TO regress_annoy_guest;
SET ROLE regress_annoy_guest;
SELECT length(annoy_serialize('points_l2')) > 0 AS allowed;
SELECT annoy_serialize('points_l2', 'native', 'id');
RESET ROLE;
ALTER TABLE points ENABLE ROW LEVEL SECURITY;
SET ROLE regress_annoy_guest;
SELECT annoy_serialize('points_l2');
RESET ROLE;
ALTER TABLE points DISABLE ROW LEVEL SECURITY;
SELECT * FROM annoy_items('', 'l2', 2);
SELECT * FROM annoy_items('\x00', 'l2', 2);
SELECT * FROM annoy_items('\x00', 'l7', 2);
SELECT * FROM annoy_items('\x00', 'l2', 0);
SELECT * FROM annoy_items(annoy_serialize('points_cosine'), 'angular', 7);
SELECT * FROM annoy_items(annoy_serialize('points_l2', 'portable'), 'angular', 6);
SELECT * FROM annoy_items(annoy_serialize('points_l2', 'portable'), 'l2', 5);
SELECT * FROM annoy_items(annoy_serialize('points_l2', 'canonical') || '\x00', 'l2');
SELECT * FROM annoy_items(substring(annoy_serialize('points_l2', 'portable') FOR 1000), 'l2');
SELECT * FROM annoy_items(set_byte(annoy_serialize('points_l2'), 0, 9), 'l2', 6);
\set VERBOSITY default

DROP TABLE points, few, equal, three, nothing;
DROP ROLE regress_annoy_guest;
