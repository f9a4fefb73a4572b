// wechatpay-node-v3 lets its user send the requests and offers verifySign: here
// each answer goes through it before anything else reads it.
import Pay from 'wechatpay-node-v3';
import superagent from 'superagent';
import { s, prepay, refund, run } from './settings.mjs';

const pay = new Pay({ appid: prepay.appid, mchid: s.mchid, serial_no: s.serial, publicKey: Buffer.from(s.certificate), privateKey: Buffer.from(s.privateKey) });
Pay.certificates = { [s.platformID]: s.platformKey };

async function send(method, url, headers, body) {
  const answer = await superagent(method, url.replace('https://api.mch.weixin.qq.com', s.base)).set(headers).send(body);
  const { 'wechatpay-timestamp': timestamp, 'wechatpay-nonce': nonce, 'wechatpay-serial': serial, 'wechatpay-signature': signature } = answer.headers;
  // For a serial number that it does not know, verifySign would ask for
  // certificates, and verify that answer, and so on without end.
  if (serial !== s.platformID) throw new Error(`signed by ${serial}`);
  if (!(await pay.verifySign({ timestamp, nonce, serial, signature, body: answer.text }))) {
    throw new Error('verifySign: the signature does not hold');
  }
  return { status: answer.status, data: JSON.parse(answer.text) };
}

pay.createHttp({
  get: (url, headers) => send('GET', url, headers),
  post: (url, params, headers) => send('POST', url, headers, JSON.stringify(params)),
});

await run({
  prepay: async () => (await pay.transactions_native(prepay)).data,
  query: async () => (await pay.query({ out_trade_no: s.order })).data,
  refund: async () => (await pay.refunds(refund)).data,
});
