// wechatpay-axios-plugin verifies every answer by itself.
import plugin from 'wechatpay-axios-plugin';
import { s, prepay, refund, run } from './settings.mjs';

const { v3 } = new plugin.Wechatpay({
  baseURL: `${s.base}/`,
  mchid: s.mchid,
  serial: s.serial,
  privateKey: s.privateKey,
  certs: { [s.platformID]: s.platformKey },
});

await run({
  prepay: async () => (await v3.pay.transactions.native.post(prepay)).data,
  query: async () => (await v3.pay.transactions.outTradeNo._order_.get({ params: { mchid: s.mchid }, order: s.order })).data,
  refund: async () => (await v3.refund.domestic.refunds.post(refund)).data,
});
