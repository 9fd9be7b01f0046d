--
-- The documents nearest to :sentence, among those of :section unless that is
-- empty, :rows at most: by meaning, by words, and by both.  A sentence of which
-- no word has a vector has no meaning here; :has_embedding tells.  :have_all is
-- for the reader.
--
\if :has_embedding
-- By meaning: the index finds the nearest embeddings.
\qecho
\qecho 'By meaning: ORDER BY embedding <=> embed(sentence)'
SELECT round(distance::numeric, 3) AS distance,
	shorten(name, 26) AS package, shorten(body, 60) AS description
FROM (
	SELECT embedding <=> (SELECT embed(:'sentence')) AS distance, name, body
	FROM documents
	WHERE :'section' IN ('', section)
	ORDER BY distance
	LIMIT :rows) AS nearest;
\endif

-- By words: PostgreSQL's full-text search; any of the words will do.
\qecho
\qecho 'By words: ORDER BY ts_rank(lexemes, any_word(sentence)) DESC;' :have_all 'have all of the words'
SELECT round(rank::numeric, 3) AS ts_rank,
	shorten(name, 26) AS package, shorten(body, 60) AS description
FROM (
	SELECT ts_rank(lexemes, any_word(:'sentence'), 1) AS rank, name, body
	FROM documents
	WHERE lexemes @@ any_word(:'sentence') AND :'section' IN ('', section)
	ORDER BY rank DESC, id
	LIMIT :rows) AS best;

\if :has_embedding
-- By both: reciprocal rank fusion (Cormack, Clarke, Buettcher: SIGIR 2009).
\qecho
\qecho 'By both: reciprocal rank fusion, 1 / (60 + rank by meaning) + 1 / (60 + rank by words)'
WITH by_meaning AS (
	SELECT id, rank() OVER (ORDER BY distance) AS rank
	FROM (
		SELECT id, embedding <=> (SELECT embed(:'sentence')) AS distance
		FROM documents
		WHERE :'section' IN ('', section)
		ORDER BY distance
		LIMIT 50) AS nearest
), by_words AS (
	SELECT id, rank() OVER (ORDER BY rank DESC) AS rank
	FROM (
		SELECT id, ts_rank(lexemes, any_word(:'sentence'), 1) AS rank
		FROM documents
		WHERE lexemes @@ any_word(:'sentence') AND :'section' IN ('', section)
		ORDER BY rank DESC, id
		LIMIT 50) AS best
)
SELECT round(score, 4) AS score, meaning, words,
	shorten(name, 26) AS package, shorten(body, 44) AS description
FROM (
	SELECT id, m.rank AS meaning, w.rank AS words,
		coalesce(1.0 / (60 + m.rank), 0) + coalesce(1.0 / (60 + w.rank), 0) AS score
	FROM by_meaning AS m FULL JOIN by_words AS w USING (id)
	ORDER BY score DESC, id
	LIMIT :rows) AS fused
JOIN documents USING (id)
ORDER BY score DESC, id;
\endif
