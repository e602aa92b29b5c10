'use strict';
// Runs a list of steps through tedious and prints what came of each as one JSON document.
//
//   node tedious_client.js < job.json
//   job: { "modules": path of node_modules, "options": {...}, "password": ..., "database": ...,
//          "steps": [ {"do": "batch", "sql": ...}, ... ] }
//
// Each result is { rows, columns, n, error, number, status, output } or { error } for steps
// without rows.  A step with "cancel_ms" is given up after that time, one with "cancel_after_rows"
// after so many rows.

const fs = require('fs');
const path = require('path');

const job = JSON.parse(fs.readFileSync(0, 'utf8'));
const { Connection, Request, TYPES, ISOLATION_LEVEL } = require(path.join(job.modules, 'tedious'));

function plain(value) {
  if (Buffer.isBuffer(value)) return '0x' + value.toString('hex').toUpperCase();
  if (value instanceof Date) return value.toISOString();
  return value;
}

function typed(parameter) {
  let { value } = parameter;
  if (typeof value === 'string' && value.startsWith('0x')) value = Buffer.from(value.slice(2), 'hex');
  if (parameter.date) value = new Date(value);
  return value;
}

// A request that collects what arrives; `done` is called by tedious at its end.
function collect(sql, parameters, resolve) {
  const result = { rows: [], columns: [], output: {} };
  let request;
  const finish = (error, n) => {
    if (error) { result.error = error.message; result.number = error.number; result.code = error.code; }
    result.n = n;
    resolve(result);
  };
  request = new Request(sql, (error, n) => request.finish(error, n));
  request.finish = finish;
  request.result = result;
  request.on('columnMetadata', (columns) => result.columns.push(columns.map((c) => ({
    name: c.colName, type: c.type.name, nullable: (c.flags & 1) !== 0 }))));
  request.on('row', (columns) => {
    result.rows.push(columns.map((c) => plain(c.value)));
    if (request.cancelAfterRows === result.rows.length) connection.cancel();
  });
  request.on('returnValue', (name, value) => { result.output[name] = plain(value); });
  request.on('doneProc', (n, more, status) => { result.status = status; });
  for (const p of parameters || []) {
    const add = p.output ? request.addOutputParameter : request.addParameter;
    add.call(request, p.name, TYPES[p.type], typed(p), p.options);
  }
  return request;
}

const methods = { batch: 'execSqlBatch', sql: 'execSql', call: 'callProcedure' };

function runRequest(step) {
  return new Promise((resolve) => {
    const request = collect(step.sql, step.parameters, resolve);
    request.cancelAfterRows = step.cancel_after_rows;
    connection[methods[step.do]](request);
    if (step.cancel_ms) setTimeout(() => connection.cancel(), step.cancel_ms);
  });
}

// Prepare once, execute with each set of values, unprepare.
function runPrepared(step) {
  return new Promise((resolve) => {
    const results = [];
    const request = collect(step.sql, step.parameters.map((p) => ({ ...p, value: null })), resolve);
    const next = () => {
      if (results.length === step.values.length) {
        request.finish = () => resolve({ results });
        connection.unprepare(request);
        return;
      }
      request.finish = (error) => {
        results.push(error ? { error: error.message } : { rows: request.result.rows.splice(0) });
        next();
      };
      connection.execute(request, step.values[results.length]);
    };
    request.finish = (error) => error && resolve({ error: error.message });
    request.on('prepared', next);
    connection.prepare(request);
  });
}

function simple(method, ...args) {
  return new Promise((resolve) => {
    connection[method]((error) => resolve(error ? { error: error.message } : {}), ...args);
  });
}

function run(step) {
  switch (step.do) {
    case 'prepared': return runPrepared(step);
    case 'begin':
      return simple('beginTransaction', '', ISOLATION_LEVEL[step.isolation || 'READ_COMMITTED']);
    case 'commit': return simple('commitTransaction');
    case 'rollback': return simple('rollbackTransaction');
    case 'save': return simple('saveTransaction', step.name);
    case 'reset': return simple('reset');
    default: return runRequest(step);
  }
}

const connection = new Connection({
  server: job.host || '127.0.0.1',
  authentication: { type: 'default', options: { userName: job.user || 'sa', password: job.password } },
  options: {
    port: job.port,
    database: job.database || undefined,
    encrypt: false,
    connectTimeout: 15000,
    requestTimeout: 60000,
    cancelTimeout: 3000,
    useColumnNames: false,
    ...job.options,
    ...(job.ca ? { cryptoCredentialsDetails: { ca: fs.readFileSync(job.ca) } } : {}),
  },
});

connection.on('error', (error) => console.error('connection:', error.message));
connection.connect(async (error) => {
  if (error) {
    console.log(JSON.stringify({ connect_error: error.message, code: error.code }));
    connection.close();
    return;
  }
  const results = [];
  for (const step of job.steps) results.push(await run(step));
  console.log(JSON.stringify({ results }));
  connection.close();
});
