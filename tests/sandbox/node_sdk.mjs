// Vipps's own Node SDK pays at the sandbox: created, approved, captured, refunded, cancelled.
//
// The SDK has no setting for its address: it speaks to https://apitest.vipps.no and nothing else.
// So its requests are sent on, by the one function they all go through; the SDK is unchanged.
import { Client } from "@vippsmobilepay/sdk";

const network = globalThis.fetch;
globalThis.fetch = (request) =>
  network(new Request(request.url.replace("https://apitest.vipps.no", process.env.SANDBOX), request));

const told = (answer) => {
  if (!answer.ok) throw new Error(JSON.stringify(answer));
  return answer.data;
};

const client = Client({
  merchantSerialNumber: "123456",
  subscriptionKey: "any",
  useTestMode: true,
  retryRequests: false,
});
const token = told(await client.auth.getToken("any", "any")).access_token;
const reference = "node-sdk-0001";
const part = (value) => ({ modificationAmount: { currency: "NOK", value } });

const created = told(
  await client.payment.create(token, {
    amount: { currency: "NOK", value: 20000 },
    paymentMethod: { type: "WALLET" },
    customer: { phoneNumber: "4791234567" },
    reference,
    userFlow: "WEB_REDIRECT",
    returnUrl: "https://shop.example/thanks",
    paymentDescription: "Invoice 1",
  }),
);
const early = await client.payment.capture(token, reference, part(1));
told(await client.payment.forceApprove(token, reference, { customer: { phoneNumber: "4791234567" } }));
told(await client.payment.capture(token, reference, part(15000)));
told(await client.payment.refund(token, reference, part(5000)));
told(await client.payment.cancel(token, reference));
const webhook = told(
  await client.webhook.register(token, {
    url: "https://shop.example/webhooks",
    events: ["epayments.payment.captured.v1"],
  }),
);
const listed = told(await client.webhook.list(token));
told(await client.webhook.delete(token, webhook.id));

console.log(
  JSON.stringify({
    redirectUrl: created.redirectUrl,
    early: early.error,
    payment: told(await client.payment.info(token, reference)),
    history: told(await client.payment.history(token, reference)),
    webhooks: listed.webhooks.length,
  }),
);
