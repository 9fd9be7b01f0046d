--
-- The tables that demo/copy_rows.py fills; demo/documents.sql drops them.
--
\set ON_ERROR_STOP on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS annoy SCHEMA public;
DROP SCHEMA IF EXISTS demo CASCADE;
CREATE SCHEMA demo;

CREATE UNLOGGED TABLE package (
	name     text PRIMARY KEY,
	section  text,
	size     bigint,			-- of the file to download; NULL for local ones
	priority text,
	body     text NOT NULL		-- the first line of the description
);

CREATE UNLOGGED TABLE glove (
	word      text NOT NULL,
	embedding vector(100) NOT NULL
);
