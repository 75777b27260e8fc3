// Drives a cloud with the JavaScript library of before particle-api-js, and prints
// one JSON line a step.
//
//   node spark.js URL USERNAME PASSWORD DEVICE-ID
'use strict';
const spark = require('spark');

const [url, username, password, device] = process.argv.slice(2);
spark.api.baseUrl = url;
const say = (step, value) => console.log(JSON.stringify({ step, value }));

async function main() {
	const login = await spark.login({ username, password });
	say('login', { token: login.access_token.length, type: login.token_type });
	const devices = await spark.listDevices();
	say('list', devices.map((d) => [d.id, d.name, d.connected]));
	const one = devices.find((d) => d.id === device);
	say('call', (await one.callFunction('brew', 'strong')).return_value);
	say('variable', (await one.getVariable('temp')).result);
	say('device', (await spark.getDevice(device)).functions);
	say('rename', (await one.rename('bath')).name);
	say('bad call', await spark.callFunction(device, 'nope', '').catch((e) => e.message));

	const heard = new Promise((resolve) => {
		const stream = spark.getEventStream(false, 'mine', resolve);
		// It does not tell when it is open: the cloud's first bytes do.
		stream.once('response', () => spark.publishEvent('orders/spark', 'latte', () => {}));
	});
	const event = await heard;
	say('event', [event.name, event.data, event.coreid]);
}

main().then(() => process.exit(0), (e) => { console.error(e); process.exit(1); });
