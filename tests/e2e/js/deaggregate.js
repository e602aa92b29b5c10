// Takes base64 data of Kinesis records, one a line, and prints the user records in them as JSON
// lines {"key": ..., "data": base64}: AWS's own de-aggregation, checksums verified.
'use strict';

const readline = require('readline');
const { deaggregateSync } = require('aws-kinesis-agg');

readline.createInterface({ input: process.stdin }).on('line', (line) => {
    const [key, data] = line.split('\t');

    deaggregateSync({ partitionKey: key, data }, true, (error, records) => {
        if (error) {
            console.error(String(error));
            process.exit(1);
        }
        for (const r of records) {
            console.log(JSON.stringify({ key: r.partitionKey, data: r.data }));
        }
    });
});
