--
-- From packages and word vectors to documents with embeddings, and indexes.
--
-- The embedding of a text is the mean of its words' vectors, in which frequent
-- words count little, without the direction that all texts have in common; its
-- length is 1.  Arora, Liang, Ma: A Simple but Tough-to-Beat Baseline for
-- Sentence Embeddings, ICLR 2017.
--
-- Weighting a vector and taking a direction off are linear, so both are done to
-- the words, once.  A text's embedding is then the normalized sum over its
-- words, the same for a row and for a query.
--
\set ON_ERROR_STOP on
SET client_min_messages = warning;
BEGIN;

CREATE FUNCTION words_of(sentence text) RETURNS SETOF text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT word
	FROM regexp_split_to_table(lower(sentence), '[^a-z0-9]+') AS word
	WHERE word <> '';
END;

CREATE FUNCTION scale(v vector, factor float8) RETURNS vector
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN v * array_fill(factor, ARRAY[vector_dims(v)])::vector;

CREATE TEMP TABLE occurrence AS
	SELECT name, word FROM package, words_of(body) AS word;

-- 0.001 / (0.001 + frequency); a word that no description has counts fully.
CREATE TEMP TABLE weighted AS
	SELECT word,
		scale(embedding, 0.001 / (0.001 + coalesce(f.frequency, 0))) AS embedding
	FROM glove
	LEFT JOIN (
		SELECT word, count(*) / sum(count(*)) OVER ()::float8 AS frequency
		FROM occurrence
		GROUP BY word) AS f USING (word);
ANALYZE occurrence, weighted;

CREATE TEMP TABLE mean AS
	SELECT avg(embedding) AS embedding
	FROM occurrence JOIN weighted USING (word)
	GROUP BY name;

-- The first principal direction of the means, by power iteration: multiplied
-- by the matrix of their products again and again, a vector turns towards it.
CREATE TEMP TABLE principal AS
	SELECT l2_normalize(avg(embedding)) AS direction FROM mean;
DO $$
BEGIN
	FOR i IN 1 .. 10 LOOP
		UPDATE principal SET direction = (
			SELECT l2_normalize(sum(scale(embedding, inner_product(embedding, direction))))
			FROM mean);
	END LOOP;
END
$$;

CREATE TABLE words AS
	SELECT word,
		(embedding - scale(direction, inner_product(embedding, direction)))::vector(100)
			AS embedding
	FROM weighted, principal;
ALTER TABLE words ADD PRIMARY KEY (word);
ANALYZE words;

-- NULL if no word of the sentence has a vector.
CREATE FUNCTION embed(sentence text) RETURNS vector
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT l2_normalize(sum(embedding))
	FROM words_of(sentence) AS word JOIN words USING (word);
END;

-- For full-text search: any of the sentence's words.
CREATE FUNCTION any_word(sentence text) RETURNS tsquery
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
	SELECT string_agg(quote_literal(lexeme), ' | ')::tsquery
	FROM unnest(to_tsvector('english', sentence)));

CREATE FUNCTION shorten(line text, width int) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN length(line) <= width THEN line
	ELSE rtrim(left(line, width - 1)) || '…' END;

CREATE TABLE documents (
	id        int GENERATED ALWAYS AS IDENTITY,
	name      text NOT NULL,
	section   text,
	size      bigint,
	priority  text,
	body      text NOT NULL,
	lexemes   tsvector GENERATED ALWAYS AS (to_tsvector('english', body)) STORED,
	embedding vector(100)
);
INSERT INTO documents (name, section, size, priority, body, embedding)
	SELECT name, section, size, priority, body, embed(body)
	FROM package
	ORDER BY name;
DROP TABLE package, glove;
ALTER TABLE documents ADD PRIMARY KEY (id);
CREATE INDEX ON documents USING gin (lexemes);

SELECT clock_timestamp() AS started \gset
CREATE INDEX documents_embedding_idx ON documents USING annoy (embedding vector_cosine_ops);
CREATE TABLE built AS
	SELECT extract(epoch FROM clock_timestamp() - :'started') AS seconds;
COMMIT;
VACUUM ANALYZE documents;
