// pgvector's library for node-postgres with a server that has annoy and not
// pgvector.  Run by test/t/018_clients.pl; the server is that of PGHOST and so
// on.  Prints "ok - name" or "not ok - name: why" for each check.
'use strict';

const assert = require('assert');
const pg = require('pg');
const pgvector = require('pgvector/pg');

const rows = new Map([
	[1, [1, 2, 3]],
	[2, [-4, 0.5, 1]],
	[3, [2, 2, 2.25]],
	[4, [0, -1, 8]],
	[5, [1e-30, 65504, -3]],
]);
const query = [1.5, 2, -1];

const sum = (values) => values.reduce((a, b) => a + b, 0);
const product = (a, b) => sum(a.map((x, i) => x * b[i]));
const operators = {
	'<->': { class: 'vector_l2_ops', distance: (a, b) => Math.sqrt(sum(a.map((x, i) => (x - b[i]) ** 2))) },
	'<#>': { class: 'vector_ip_ops', distance: (a, b) => -product(a, b) },
	'<=>': {
		class: 'vector_cosine_ops',
		distance: (a, b) => 1 - product(a, b) / Math.sqrt(product(a, a) * product(b, b)),
	},
	'<+>': { class: 'vector_l1_ops', distance: (a, b) => sum(a.map((x, i) => Math.abs(x - b[i]))) },
};

// The binary form: dimensions, zero, elements, the most significant byte first.
function encode(vector, unused = 0) {
	const buffer = Buffer.alloc(4 + 4 * vector.length);
	buffer.writeInt16BE(vector.length, 0);
	buffer.writeInt16BE(unused, 2);
	vector.forEach((x, i) => buffer.writeFloatBE(x, 4 + 4 * i));
	return buffer;
}

function decode(buffer) {
	assert.strictEqual(buffer.readInt16BE(2), 0);
	assert.strictEqual(buffer.length, 4 + 4 * buffer.readInt16BE(0));
	return Array.from({ length: buffer.readInt16BE(0) }, (_, i) => buffer.readFloatBE(4 + 4 * i));
}

async function check(name, test) {
	try {
		await test();
		console.log(`ok - ${name}`);
	} catch (error) {
		console.log(`not ok - ${name}: ${String(error.message).replace(/\s+/g, ' ')}`);
	}
}

const floats = (vector) => Array.from(Float32Array.from(vector));

async function insertAndRead(client, name, toParameter, column, fromColumn) {
	await client.query('TRUNCATE items');
	for (const [id, vector] of rows)
		await client.query('INSERT INTO items VALUES ($1, $2)', [id, toParameter(vector)]);
	await client.query('INSERT INTO items VALUES (6, $1)', [null]);

	await check(`${name}: what was inserted comes back`, async () => {
		const result = await client.query(`SELECT ${column} AS value FROM items ORDER BY id`);
		assert.deepStrictEqual(result.rows.map((r) => r.value && floats(fromColumn(r.value))),
			[...[...rows.values()].map(floats), null]);
	});
}

async function queryByOperator(client, name, operator, parameter) {
	const { distance } = operators[operator];

	await check(`${name}: nearest by ${operator}`, async () => {
		const text = `SELECT id, embedding ${operator} $1 AS distance FROM items ORDER BY embedding ${operator} $1 LIMIT 5`;
		const plan = await client.query(`EXPLAIN ${text}`, [parameter]);
		assert.match(plan.rows.map((r) => r['QUERY PLAN']).join('\n'), /Index Scan using items_/);

		const result = await client.query(text, [parameter]);
		const wanted = [...rows].map(([id, vector]) => ({ id, distance: distance(floats(vector), query) }))
			.sort((a, b) => a.distance - b.distance);
		assert.deepStrictEqual(result.rows.map((r) => r.id), wanted.map((w) => w.id));
		result.rows.forEach((r, i) => {
			const tolerance = 1e-6 * Math.max(1, Math.abs(wanted[i].distance));
			assert.ok(Math.abs(r.distance - wanted[i].distance) <= tolerance,
				`distance ${r.distance} instead of ${wanted[i].distance}`);
		});
	});
}

async function refuse(client, name, text, values, code, message) {
	await check(name, () => assert.rejects(client.query(text, values), (error) => {
		assert.strictEqual(error.code, code);
		assert.match(error.message, message);
		return true;
	}));
}

async function main() {
	const client = new pg.Client();
	await client.connect();
	await client.query('CREATE EXTENSION annoy');
	await check('the library finds the type', () => pgvector.registerTypes(client));

	await client.query('CREATE TABLE items (id int, embedding vector(3))');
	for (const { class: name } of Object.values(operators))
		await client.query(`CREATE INDEX items_${name} ON items USING annoy (embedding ${name})`);
	await client.query('SET enable_seqscan = off');

	// the library has made arrays of the results
	await insertAndRead(client, 'text', pgvector.toSql, 'embedding', (value) => value);
	for (const operator of Object.keys(operators))
		await queryByOperator(client, 'text', operator, pgvector.toSql(query));
	// A Buffer is a binary parameter.  Results in binary are beyond node-postgres,
	// which takes all of them for UTF-8; a bytea has the same bytes.
	await insertAndRead(client, 'binary', encode, 'vector_send(embedding)', decode);
	for (const operator of Object.keys(operators))
		await queryByOperator(client, 'binary', operator, encode(query));

	await check('an average is a vector', async () => {
		const result = await client.query('SELECT avg(embedding) FROM items WHERE id IN (1, 3)');
		assert.deepStrictEqual(result.rows[0].avg, [1.5, 2, 2.625]);
	});
	await check('an array of vectors', async () => {
		const result = await client.query('SELECT id FROM items WHERE embedding = ANY ($1::vector[]) ORDER BY id',
			[[pgvector.toSql(rows.get(1)), pgvector.toSql(rows.get(3))]]);
		assert.deepStrictEqual(result.rows.map((r) => r.id), [1, 3]);
	});

	const insert = 'INSERT INTO items VALUES (9, $1)';
	await refuse(client, 'text: too few dimensions', insert, [pgvector.toSql([1, 2])], '22000', /expected 3 dimensions, not 2/);
	await refuse(client, 'binary: too few dimensions', insert, [encode([1, 2])], '22000', /expected 3 dimensions, not 2/);
	await refuse(client, 'binary: NaN', insert, [encode([1, NaN, 2])], '22000', /NaN not allowed in vector/);
	await refuse(client, 'binary: another format', insert, [encode([1, 2, 3], 1)], '22P03', /expected unused to be 0, not 1/);
	await refuse(client, 'binary: too short', insert, [encode([1, 2, 3]).subarray(0, 12)], '08P01', /insufficient data/);
	await client.end();
}

main().then(() => console.log('done'), (error) => {
	console.error(error);
	process.exitCode = 1;
});
