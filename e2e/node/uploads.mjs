// Uploads, by a plain fetch and by wechatpay-axios-plugin, whose own signature
// wxproxy replaces.
import { createHash } from 'node:crypto';
import { createReadStream, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { s, run } from './settings.mjs';
import { Multipart, v3 } from './plugin.mjs';

const picture = Buffer.from('not really a picture '.repeat(20000));
const meta = (bytes) => JSON.stringify({ filename: '图片.jpg', sha256: createHash('sha256').update(bytes).digest('hex') });
const target = 'v3/merchant/media/upload';

async function post(body, more = {}) {
  const answer = await fetch(`${s.base}/${target}`, { method: 'POST', body, ...more });
  return { status: answer.status, verified: answer.headers.get('wxproxy-verified'), ...await answer.json() };
}

function form(first, promised = picture) {
  const parts = [
    ['meta', new Blob([meta(promised)], { type: 'application/json' })],
    ['file', new Blob([picture], { type: 'image/jpeg' }), '图片.jpg'],
  ];
  const data = new FormData();
  for (const part of first === 'meta' ? parts : parts.reverse()) data.append(...part);
  return data;
}

// plug lets axios build the form of plain values, which is the plugin's own way.
async function plug(first) {
  const path = join(mkdtempSync(join(tmpdir(), 'uploads-')), 'picture.jpg');
  writeFileSync(path, picture);
  const file = createReadStream(path);
  const data = first === 'meta' ? { meta: meta(picture), file } : { file, meta: meta(picture) };
  return (await v3.merchant.media.upload.post(data, { meta: JSON.parse(data.meta), headers: { 'Content-Type': 'multipart/form-data' } })).data;
}

// multipart sends the form that the plugin's own class builds.
async function multipart() {
  const data = new Multipart().append('meta', meta(picture)).append('file', picture, 'picture.jpg');
  return (await v3.merchant.media.upload.post(data.getBuffer(), { meta: data.toJSON(), headers: data.getHeaders() })).data;
}

await run({
  fetch: () => post(form('meta')),
  'fetch-file-first': () => post(form('file')),
  'fetch-chunked': () => {
    const whole = new Response(form('meta'));
    return post(whole.body, { duplex: 'half', headers: { 'content-type': whole.headers.get('content-type') } });
  },
  'fetch-other-digest': () => post(form('meta', Buffer.from('another'))),
  axios: () => plug('meta'),
  'axios-file-first': () => plug('file'),
  'axios-multipart': () => multipart(),
});
