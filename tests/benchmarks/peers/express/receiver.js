// A receiver that knows its trade: express and pg, one transaction per event, prepared
// statements, one process per core. Its environment: PORT, PROCESSES, SECRET, and pg's own PGHOST,
// PGUSER and PGDATABASE.

const cluster = require("node:cluster");
const crypto = require("node:crypto");

const { PORT, PROCESSES, SECRET } = process.env;

if (cluster.isPrimary) {
  for (let n = 0; n < Number(PROCESSES); n++) cluster.fork();
} else {
  serve();
}

function serve() {
  const express = require("express");
  const { Pool } = require("pg");
  const pool = new Pool({ max: 16 });
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  app.get("/healthz", (_request, response) => response.end("ok"));
  app.post(
    "/webhooks/vipps/:msn",
    express.raw({ type: "application/json", limit: "64kb" }),
    async (request, response) => {
      if (!isProven(request)) return response.sendStatus(401);
      try {
        await store(pool, request.body);
        response.sendStatus(200);
      } catch {
        response.sendStatus(503);
      }
    },
  );
  app.listen(Number(PORT), "127.0.0.1");
}

function isProven(request) {
  const digest = crypto.createHash("sha256").update(request.body).digest("base64");
  const date = request.headers["x-ms-date"];
  if (digest !== request.headers["x-ms-content-sha256"]) return false;
  if (!(Math.abs(Date.now() - Date.parse(date)) <= 300_000)) return false;
  const text = `POST\n${request.originalUrl}\n${date};${request.headers.host};${digest}`;
  const signature = crypto.createHmac("sha256", SECRET).update(text).digest("base64");
  const expected = Buffer.from(
    `HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=${signature}`,
  );
  const got = Buffer.from(request.headers.authorization || "");
  return got.length === expected.length && crypto.timingSafeEqual(got, expected);
}

async function store(pool, body) {
  const told = JSON.parse(body);
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    const { rows } = await client.query({
      name: "invoice",
      text: "SELECT id, state, amount_minor, currency FROM invoice WHERE reference = $1 FOR UPDATE",
      values: [told.reference],
    });
    const received = await client.query({
      name: "received",
      text: `INSERT INTO vippsevent (reference, name, psp_reference, body, received_at)
             VALUES ($1, $2, $3, $4, now()) ON CONFLICT DO NOTHING RETURNING id`,
      values: [told.reference, told.name, told.pspReference, body.toString()],
    });
    const invoice = rows[0];
    if (invoice && received.rowCount && told.name === "AUTHORIZED" && invoice.state === "pushed") {
      await move(client, invoice, received.rows[0].id, told);
    }
    await client.query("COMMIT");
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  } finally {
    client.release();
  }
}

async function move(client, invoice, receivedId, told) {
  const payload = { type: "invoice.authorized", invoice: { ...invoice, state: "authorized" }, told };
  await client.query({
    name: "moved",
    text: "UPDATE invoice SET state = 'authorized', updated_at = now() WHERE id = $1",
    values: [invoice.id],
  });
  await client.query({
    name: "transition",
    text: `INSERT INTO transition (invoice_id, from_state, to_state, vipps_event_id, at)
           VALUES ($1, $2, 'authorized', $3, now())`,
    values: [invoice.id, invoice.state, receivedId],
  });
  await client.query({
    name: "outgoing",
    text: `INSERT INTO outgoingevent (invoice_id, type, payload, created_at)
           VALUES ($1, 'invoice.authorized', $2, now())`,
    values: [invoice.id, JSON.stringify(payload)],
  });
}
