--
-- Answer :sentence: demo/nearest.sql, once to warm up and once with its times.
--
\set ON_ERROR_STOP on
\pset footer off
SET client_min_messages = warning;
SELECT embed(:'sentence') IS NOT NULL AS has_embedding,
	count(*) > 0 AS any_unknown,
	shorten(string_agg(word, ', ' ORDER BY word), 80) AS unknown
FROM (
	SELECT word FROM words_of(:'sentence') AS word
	EXCEPT SELECT word FROM words) AS missing
WHERE length(word) > 1 \gset

SELECT count(*) AS have_all
FROM documents
WHERE lexemes @@ plainto_tsquery('english', :'sentence') AND :'section' IN ('', section) \gset

SELECT '=== ' || shorten(regexp_replace(:'sentence', '\s+', ' ', 'g'), 60) ||
	CASE :'section' WHEN '' THEN '' ELSE '   (section ' || :'section' || ')' END
	|| ' ===' AS heading \gset
\echo
\echo :heading
\if :any_unknown
	\echo 'words without a vector:' :unknown
\endif
\if :has_embedding
\else
	\echo 'No word of this sentence has a vector, so nothing is near to it by meaning.'
\endif
\o /dev/null
\ir nearest.sql
\o
\timing on
\ir nearest.sql
