// Drives a cloud with the JavaScript library, and prints one JSON line a step.
//
//   node client.js URL USERNAME PASSWORD DEVICE-ID BINARY
'use strict';
const fs = require('fs');
const Particle = require('particle-api-js');

const [url, username, password, device, binary] = process.argv.slice(2);
let particle = new Particle({ baseUrl: url });
// Before 6 options replace all defaults.
if (!particle.clientId) {
	particle = new Particle({ baseUrl: url, clientId: 'particle-api', clientSecret: 'particle-api', tokenDuration: 7776000 });
}
// Before 9 its functions for any route take arguments, and before 7 a file is a stream.
const old = particle.get.length > 1;
const get = (uri, auth) => old ? particle.get(uri, auth) : particle.get({ uri, auth });
const say = (step, value) => console.log(JSON.stringify({ step, value }));

// failure is what the library tells of an error.
const failure = (e) => ({ status: e.statusCode, text: e.body.error_description || e.body.error });

async function main() {
	const login = await particle.login({ username, password });
	const auth = login.body.access_token;
	say('login', { token: auth.length, type: login.body.token_type, expires: login.body.expires_in });
	say('bad login', failure(await particle.login({ username, password: 'wrong' }).catch((e) => e)));

	const user = await particle.getUserInfo({ auth });
	say('user', user.body.username);
	const devices = await particle.listDevices({ auth });
	say('list', devices.body.map((d) => [d.id, d.name, d.connected]));
	const detail = await particle.getDevice({ deviceId: device, auth });
	say('device', [detail.body.functions, detail.body.variables]);
	const call = await particle.callFunction({ deviceId: device, name: 'brew', argument: 'strong', auth });
	say('call', call.body.return_value);
	say('bad call', failure(await particle.callFunction({ deviceId: device, name: 'nope', argument: '', auth }).catch((e) => e)));
	const variable = await particle.getVariable({ deviceId: device, name: 'temp', auth });
	say('variable', variable.body.result);
	const signal = await particle.signalDevice({ deviceId: device, signal: true, auth });
	say('signal', signal.body.signaling);
	const renamed = await particle.renameDevice({ deviceId: device, name: 'bath', auth });
	say('rename', renamed.body.name);

	const stream = await particle.getEventStream({ deviceId: 'mine', auth });
	const events = [];
	let wanted;
	stream.on('event', (e) => {
		events.push(e);
		if (wanted && wanted(e)) { wanted = undefined; }
	});
	const next = (accept) => {
		const early = events.find(accept);
		return early ? Promise.resolve(early) : new Promise((resolve) => {
			wanted = (e) => accept(e) && (resolve(e), true);
		});
	};
	await particle.publishEvent({ name: 'orders/js', data: '{"cup":1}', isPrivate: true, auth });
	const event = await next((e) => e.name === 'orders/js');
	say('event', [event.name, event.data, event.coreid]);

	const flash = await particle.flashDevice({ deviceId: device, files: { 'app.bin': old ? fs.createReadStream(binary) : binary }, auth });
	say('flash', flash.body.status);
	const flashed = await next((e) => e.name === 'spark/flash/status' && e.data === 'success ');
	say('flashed', flashed.coreid === device);
	stream.abort();

	// Version 5 knows nothing of products.
	if (particle.addDeviceToProduct) {
		const added = await particle.addDeviceToProduct({ deviceId: device, product: 1000, auth });
		const members = await particle.listDevices({ product: 1000, auth });
		const fleet = await particle.getEventStream({ product: 1000, name: 'orders', auth });
		const heard = new Promise((resolve) => fleet.on('event', resolve));
		await particle.publishEvent({ name: 'orders/product', data: 'tea', product: 1000, auth });
		const product = await heard;
		fleet.abort();
		say('product', {
			updated: added.body.updated, devices: members.body.devices.map((d) => [d.id, d.name, d.product_id]),
			event: [product.name, product.productID],
		});
	}

	const hook = await particle.createWebhook({ event: 'never', name: 'never', url: 'http://127.0.0.1:9/', auth });
	const hooks = await particle.listWebhooks({ auth });
	const one = (await get(`/v1/webhooks/${hook.body.id}`, auth)).body.webhook;
	await particle.deleteWebhook({ hookId: hook.body.id, auth });
	const left = await particle.listWebhooks({ auth });
	say('webhooks', {
		made: hook.body.ok, type: hook.body.integration_type, listed: hooks.body.map((h) => h.event), one: one.event, left: left.body.length,
	});
	say('bad webhook', failure(await particle.deleteWebhook({ hookId: hook.body.id, auth }).catch((e) => e)));

	const unclaimed = await particle.removeDevice({ deviceId: device, auth });
	say('remove', unclaimed.body.ok);
	const claimed = await particle.claimDevice({ deviceId: device, auth });
	say('claim', claimed.body.ok);
	const code = await particle.getClaimCode({ auth });
	say('claim code', code.body.claim_code.length);
	const created = await particle.createUser({ username: 'js@example.com', password: 'js' });
	say('create user', created.body.ok);
	if (particle.deleteCurrentAccessToken) {
		await particle.deleteCurrentAccessToken({ auth });
	} else {
		await particle.removeAccessToken({ username, password, token: auth });
	}
	say('logged out', failure(await particle.listDevices({ auth }).catch((e) => e)));
}

main().then(() => process.exit(0), (e) => { console.error(e); process.exit(1); });
