-- Answers compared and trees looked at as a whole: for tests of builds, inserts and
-- VACUUM, beside answer.sql.  A test drops the functions when it ends.
\ir answer.sql

-- Answers through an index of a table (id, e) and by a sort: number of rows,
-- all rows there, same distances.
CREATE OR REPLACE FUNCTION check_answers(relation text, operator text, q vector, condition text DEFAULT 'true')
	RETURNS text
	LANGUAGE plpgsql AS $$
DECLARE
	query text := format('SELECT id, e %1$s %2$L AS d FROM %3$s WHERE %4$s ORDER BY e %1$s %2$L',
						 operator, q, relation, condition);
BEGIN
	RETURN format('%s rows, complete %s, exact %s, limited %s',
				  (SELECT count(*) FROM answer(query, true)), complete_answer(query),
				  same_answer(query), same_answer(query || ' LIMIT 3'));
END
$$;

-- Items of each tree of a sound index: the same in all, and each one a row of
-- the table.
CREATE OR REPLACE FUNCTION check_trees(index regclass, relation regclass)
	RETURNS TABLE (trees bigint, items text, live boolean)
	LANGUAGE plpgsql AS $$
BEGIN
	PERFORM annoy_index_check(index, true);
	RETURN QUERY EXECUTE format(
		'SELECT count(*), string_agg(DISTINCT format(''%%s of %%s'', different, items), '', ''), bool_and(live)
		 FROM (SELECT count(*) AS items, count(DISTINCT item) AS different,
					  bool_and(item IN (SELECT ctid FROM %2$s)) AS live
			   FROM annoy_leaf_items(%1$L) GROUP BY tree) AS trees', index, relation);
END
$$;
