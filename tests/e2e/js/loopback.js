// Preloaded (node -r) into servers that listen on all interfaces: keeps them on 127.0.0.1.
'use strict';

const net = require('net');
const listen = net.Server.prototype.listen;

net.Server.prototype.listen = function (...args) {
    const [first] = args;

    if (first !== null && typeof first === 'object' && first.path === undefined) {
        args[0] = { ...first, host: '127.0.0.1' };
    } else if (typeof first === 'number' || /^\d+$/.test(String(first))) {
        // listen(port, [host], [backlog], [callback])
        const rest = args.slice(1).filter((a) => typeof a !== 'string');
        args = [Number(first), '127.0.0.1', ...rest];
    }
    return listen.apply(this, args);
};
